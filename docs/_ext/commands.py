"""A directive that writes out what every command says of itself, so that the page cannot go stale."""

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from caescope.cli import main


class Commands(Directive):
    def run(self):
        return [self._section(name, command) for name, command in sorted(main.commands.items())]

    def _section(self, name: str, command: click.Command) -> nodes.section:
        context = click.Context(command, info_name=f"caescope {name}", max_content_width=100)
        text = command.get_help(context)
        section = nodes.section(ids=[f"caescope-{name}"])
        section += nodes.title(text=f"caescope {name}")
        section += nodes.literal_block(text, text, language="text")
        return section


def setup(app):
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
