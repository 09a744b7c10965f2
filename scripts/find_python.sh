#!/bin/sh
# Print the path of a Python that can run this project.
#
#   find_python.sh [PYTHON]
#
# With an argument, only that interpreter is considered. Without, the first
# that works of: python3 and python on the PATH, python3.12, 3.13, 3.14 on the
# PATH, then the versions that pyenv has installed. A candidate works if it
# really starts (a pyenv shim may not), has a supported version, and can make
# virtual environments.

# PyMC 6 has the upper bound.
supported="3.12, 3.13 or 3.14"
check='
import sys
if not (3, 12) <= sys.version_info[:2] <= (3, 14):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("its venv module is missing (on Debian and Ubuntu: install python3-venv)")
print(sys.executable)
'

works() {
    "$1" -c "$check" 2>/dev/null </dev/null
}

if [ -n "${1:-}" ]; then
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "PYTHON=$1: no such program" >&2
        exit 1
    fi
    works "$1" && exit 0
    echo "PYTHON=$1 will not do: $("$1" -c "$check" 2>&1 </dev/null | head -n 1)" >&2
    echo "This project needs Python $supported." >&2
    exit 1
fi

for name in python3 python python3.12 python3.13 python3.14; do
    works "$name" && exit 0
done

pyenv_versions="${PYENV_ROOT:-$HOME/.pyenv}/versions"
for minor in 12 13 14; do
    for candidate in "$pyenv_versions/3.$minor"*/bin/python; do
        works "$candidate" && exit 0
    done
done

cat >&2 <<EOF
No usable Python was found: this project needs Python $supported, with venv.
Looked at: python3, python, python3.12, python3.13, python3.14 on the PATH,
and $pyenv_versions.
Install one, for example with
    apt install python3.12 python3.12-venv    (Debian, Ubuntu)
    brew install python@3.12                  (macOS)
    pyenv install 3.12                        (anywhere)
or name one: make PYTHON=/path/to/python3.12 ...
EOF
exit 1
