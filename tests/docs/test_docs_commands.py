"""What scripts and commands on pages must not have, as macOS brings other tools than Linux."""

import pytest
import shell

FORBIDDEN = """\
date -d yesterday
date -u -d "$1 hours ago" +%F
sed -i s/a/b/ file
sed -n -i -e p file
sed -r s/a/b/ file
x=$(readlink -f .)
paste -sd +
words=$(cat file | paste -sd '|')
grep -oP a file
grep '\\w' file
timeout 3 true
x=$(nproc)
flock -n lock true
mapfile -t lines
declare -A x
echo ${x,,}
echo ${lines[-1]}
[[ -v x ]]
wait -n
true &>> log
true |& cat
stat -c %s file
head -n -1 file
sort -R file
"""
ALLOWED = """\
date -u +%FT%TZ
sed -i.old s/a/b/ file
sed -nE s/a/b/p file
paste - - <file
paste -sd '|' -
grep -Fwf words file
if command -v flock >/dev/null; then flock 9; fi
check custom.github-workflows-require-timeout file
find . -name '*.md' | xargs program --option
true &>log # mapfile
echo ${lines[0]}
sleep 1 & wait
"""


@pytest.mark.parametrize("line", FORBIDDEN.splitlines())
def test_a_command_that_macos_does_not_know(line: str) -> None:
    """Each is found, with its line."""
    assert {number for number, _ in shell.complaints(f"true\n{line}\n")} == {1}


def test_usual_commands() -> None:
    """They are not."""
    assert list(shell.complaints(ALLOWED)) == []


def test_what_is_read() -> None:
    """It is the scripts of bash, and the blocks of commands on pages."""
    names = {name for name, _, _ in shell.texts()}
    assert {"scripts/test", "scripts/demo", "README.md", "docs/store.md"} <= names
    assert "scripts/shell.py" not in names
