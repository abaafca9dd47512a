"""Whether the machines of a cluster have what this one has."""

from typing import Any

from caescope.errors import OptionError

PACKAGES = ("caescope", "torch", "numpy", "pyarrow")


def demand_same_versions(ray: Any, packages: tuple[str, ...] = PACKAGES) -> None:
    """Refuse a cluster of which a machine has other versions, or lacks the package.

    Raises
    ------
    OptionError
        Naming what differs first, and where.
    """
    look = _looker()
    here = look(packages)
    remote = ray.remote(num_cpus=0)(look)
    nodes = [node for node in ray.nodes() if node["Alive"] and node.get("Resources", {}).get("CPU", 0)]
    asked = [remote.options(scheduling_strategy=_on(node["NodeID"])).remote(packages) for node in nodes]
    for node, there in zip(nodes, ray.get(asked), strict=True):
        for name in here:
            if there[name] != here[name]:
                raise OptionError(
                    "Workers must have the versions of the machine that starts them",
                    f"{name} {there[name]} on {node['NodeManagerHostname']} and {here[name]} here",
                    f"Install {name} {here[name]} there.",
                )


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _looker():
    """Return what looks versions up; it travels as code, since the package may be missing where it runs."""

    def look(packages: tuple[str, ...]) -> dict[str, str]:
        import importlib.metadata
        import platform

        found = {"Python": ".".join(platform.python_version_tuple()[:2])}
        for name in packages:
            try:
                found[name] = importlib.metadata.version(name).partition("+")[0]
            except importlib.metadata.PackageNotFoundError:
                found[name] = "missing"
        return found

    return look
