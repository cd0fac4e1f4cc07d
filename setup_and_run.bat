@echo off
rem The one command for Windows: finds Python and hands the words on.
rem What the words do is in book\cli.py; how .venv is made, in book\environment.py.
setlocal EnableExtensions DisableDelayedExpansion
chcp 65001 >nul 2>nul

pushd "%~dp0"
if errorlevel 1 (
    echo setup_and_run.bat: its folder cannot be opened. 1>&2
    exit /b 1
)

rem Another environment's settings would leak into ours.
set "PYTHONPATH="
set "PYTHONHOME="
set "PYTHONSAFEPATH="
set "PYTHONOPTIMIZE="
set "PYTHONSTARTUP="
set "PYTHONWARNINGS="
set "PYTHONINSPECT="
set "PYTHONUTF8=1"

rem 3.11 first: it is the version that the pinned packages were tried with.
set "FOUND="
set "OLD="
for %%v in (3.11 3.12 3.13 3.14) do call :launcher %%v
for %%p in (python py) do call :plain %%p
if not defined FOUND goto missing

%FOUND% -m book.cli %*
exit /b %errorlevel%

:launcher
if defined FOUND exit /b 0
py -%1 --version >nul 2>nul
if errorlevel 1 exit /b 0
set "FOUND=py -%1"
exit /b 0

:plain
rem A missing one and the shop's placeholder both end in an error.
if defined FOUND exit /b 0
%1 --version >nul 2>nul
if errorlevel 1 exit /b 0
for /f "tokens=2" %%v in ('%1 --version 2^>^&1') do set "VERSION=%%v"
for /f "tokens=1,2 delims=." %%a in ("%VERSION%") do call :enough %1 %%a %%b
exit /b 0

:enough
set "OLD=%VERSION%"
if %2 LSS 3 exit /b 0
if %2 EQU 3 if %3 LSS 11 exit /b 0
set "FOUND=%1"
exit /b 0

:missing
if defined OLD (
    echo Python %OLD% is too old: the book needs Python 3.11 or newer; install it from https://www.python.org/downloads/ and run this again. 1>&2
) else (
    echo No Python was found: the book needs Python 3.11 or newer; install it from https://www.python.org/downloads/ and run this again. 1>&2
)
exit /b 1
