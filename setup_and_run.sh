#!/bin/sh
# The one command for Linux and macOS: finds Python and hands the words on.
# What the words do is in book/cli.py; how .venv is made, in book/environment.py.

# A symbolic link may stand anywhere; readlink -f is not on every macOS.
script=$0
while [ -h "$script" ]; do
    aim=$(readlink -- "$script") || break
    case $aim in
    /*) script=$aim ;;
    *)
        case $script in
        */*) script=${script%/*}/$aim ;;
        *) script=$aim ;;
        esac
        ;;
    esac
done
case $script in
*/*) here=${script%/*} ;;
*) here=. ;;
esac
if ! CDPATH='' cd -- "$here"; then
    echo "setup_and_run.sh: the folder $here cannot be opened." >&2
    exit 1
fi

# Another environment's settings would leak into ours; optimized, no test can fail.
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONSTARTUP
unset PYTHONWARNINGS PYTHONINSPECT
PYTHONUTF8=1
export PYTHONUTF8

# 3.11 first: it is the version that the pinned packages were tried with.
# One that can make environments (ensurepip) is better than one that cannot.
python='' second='' old=''
for name in python3.11 python3.12 python3.13 python3.14 python3 python; do
    command -v "$name" >/dev/null 2>&1 || continue
    version=$("$name" --version 2>&1) || continue
    case $version in
    'Python 3.'[0-9].* | 'Python 3.10.'* | 'Python 2.'*)
        [ -n "$old" ] || old="${version#Python } ($name)"
        ;;
    'Python 3.'*)
        if "$name" -c 'import ensurepip' >/dev/null 2>&1; then
            python=$name
            break
        fi
        [ -n "$second" ] || second=$name
        ;;
    esac
done
python=${python:-$second}

if [ -z "$python" ]; then
    if [ -n "$old" ]; then
        found="Python $old is too old: the book needs Python 3.11 or newer"
    else
        found='No Python was found: the book needs Python 3.11 or newer'
    fi
    echo "$found; install it from https://www.python.org/downloads/" \
        "and run this again." >&2
    exit 1
fi

exec "$python" -m book.cli "$@"
