/* Preloaded by tests: lets the n-th call that changes the disk below a folder fail, or kills the process there.
   A call is write, fsync, rename and their kin; `arm` starts the count, `count` returns it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <fcntl.h>

static char root[PATH_MAX];
static long turn, seen;
static int code; /* an errno, 0 for nothing, or minus a signal */

void arm(const char *folder, long at, int what) {
    strncpy(root, folder, sizeof root - 1);
    turn = at;
    code = what;
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
}

long count(void) { return __atomic_load_n(&seen, __ATOMIC_SEQ_CST); }

static int strikes(const char *path) {
    if (!root[0] || !path || strncmp(path, root, strlen(root))) return 0;
    if (__atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) != turn || !code) return 0;
    if (code < 0) kill(getpid(), -code);
    errno = code;
    return 1;
}

static int strikes_handle(int handle) {
    char link[64], path[PATH_MAX];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strikes(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n) {
    if (!strikes_handle(fd)) return REAL(write)(fd, data, n);
    if (code == ENOSPC && n > 1) REAL(write)(fd, data, n / 2); /* as a disk does that becomes full */
    errno = code;
    return -1;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    return strikes_handle(fd) ? -1 : REAL(pwrite)(fd, data, n, at);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    return strikes_handle(fd) ? -1 : REAL(pwrite64)(fd, data, n, at);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    return strikes_handle(fd) ? -1 : REAL(writev)(fd, parts, n);
}
int fsync(int fd) { return strikes_handle(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return strikes_handle(fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return strikes(to) ? -1 : REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) {
    return strikes(to) ? -1 : REAL(renameat)(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    return strikes(to) ? -1 : REAL(renameat2)(a, from, b, to, flags);
}
int mkdir(const char *path, mode_t mode) { return strikes(path) ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return strikes(path) ? -1 : REAL(unlink)(path); }
