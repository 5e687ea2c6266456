"""A contract for import-linter: each third-party library is imported in its home and nowhere else."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class HomesContract(Contract):
    """``homes``: lines ``LIBRARY [LIBRARY …]: MODULE [MODULE …]``; a module's home includes everything below it."""

    type_name = "homes"
    homes = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        strangers = []
        for line in self.homes:  # type: ignore[attr-defined]
            libraries, _, modules = line.partition(":")
            homes = tuple(modules.split())
            for library in libraries.split():
                if library not in graph.modules:
                    continue  # an optional library that nothing imports at the moment
                importers = graph.find_modules_that_directly_import(library)
                strangers += [
                    f"{module} imports {library}, whose home is {' and '.join(homes)}"
                    for module in sorted(importers)
                    if not any(f"{module}.".startswith(f"{home}.") for home in homes)
                ]
        return ContractCheck(kept=not strangers, metadata={"strangers": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for stranger in check.metadata["strangers"]:
            output.print_error(stranger)
