"""
The null call without any trace points: what tracing costs while it is off.

Run as a program of its own. `--strip` removes every `if X.trace is not None:` from the modules of the kernel before
they are loaded; with and without it the same benchmark prints its microseconds.
"""

from __future__ import annotations

import ast
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

import anyio


class _Stripper(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:
        self.generic_visit(node)
        match node.test:
            case ast.Compare(left=ast.Attribute(attr="trace"), ops=[ast.IsNot()]) if not node.orelse:
                return ast.copy_location(ast.Pass(), node)
        return node


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        tree = ast.fix_missing_locations(_Stripper().visit(ast.parse(self.get_data(path))))
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if not name.startswith(("fluke_async.kernel.", "fluke_async.execution.")):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


async def _measure() -> float:
    from fluke_async.bench.guest import operation_us  # noqa: PLC0415  # after the finder is in place

    return (await operation_us("null", "interrupt", "", 0)).median


if __name__ == "__main__":
    if "--strip" in sys.argv:
        sys.meta_path.insert(0, _Finder)
    sys.stdout.write(f"{anyio.run(_measure):.4f}\n")
