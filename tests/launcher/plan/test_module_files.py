"""The files that a service is made of."""

from __future__ import annotations

from pathlib import Path

from launcher.plan.module_files import files_of

TREE = {
    "chat.py": "import helper, os\nfrom rooms import lobby\nfrom rooms.deep.er import thing\n",
    "helper.py": "import chat\n",  # a circle
    "rooms/__init__.py": "",
    "rooms/lobby.py": "from . import doors\nfrom .keys import key\nfrom ..nowhere import x\n",
    "rooms/doors.py": "def broken(",
    "rooms/keys.py": "",
    "rooms/deep/__init__.py": "from ..halls import hall\n",
    "rooms/deep/er.py": "",
    "rooms/halls.py": "",
    "other.py": "",
}


def test_what_is_imported_from_the_folders(tmp_path: Path) -> None:
    for name, text in TREE.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    files = {str(Path(file).relative_to(tmp_path)) for file in files_of("chat:service", [str(tmp_path)])}
    assert files == TREE.keys() - {"other.py"}
    assert files_of("nosuch:service", [str(tmp_path)]) == set()
    assert files_of("..:", [str(tmp_path)]) == set()


def test_the_first_folder_that_has_it(tmp_path: Path) -> None:
    for folder in ("own", "base"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("import b\n")
    (tmp_path / "base" / "b.py").write_text("")
    files = files_of("a:service", [str(tmp_path / "own"), str(tmp_path / "base")])
    assert files == {str(tmp_path / "own" / "a.py"), str(tmp_path / "base" / "b.py")}
