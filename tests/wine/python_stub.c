/* A python.exe for Wine: the .bat under test meets a Windows program, and behind it
 * answers a real Python.
 *
 * Alone it knows its version, from a file beside it: `python.exe --version` reads
 * python.version, `py.exe -3.11 --version` reads py-3.11.version. No such file: that
 * version is not installed, exit code 1, as the real launcher does.
 *
 * Everything else goes, word for word, to the test's own server on 127.0.0.1
 * (STUB_PORT), which runs it with a real Python and sends back what it wrote and, in
 * the last four bytes, its exit code.
 *
 * Built with: x86_64-w64-mingw32-gcc -municode python_stub.c -lws2_32
 */
#include <winsock2.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static int show_version(const wchar_t *name)
{
    wchar_t path[1024], *slash;
    char line[64];
    FILE *file;

    GetModuleFileNameW(NULL, path, 900);
    slash = wcsrchr(path, L'\\');
    wcscpy(slash + 1, name);
    wcscat(path, L".version");
    file = _wfopen(path, L"rb");
    if (!file || !fgets(line, sizeof line, file))
        return 1;
    line[strcspn(line, "\r\n")] = 0;
    printf("Python %s\n", line);
    return 0;
}

static int send_word(SOCKET there, const wchar_t *word)
{
    char bytes[8192];
    int length = WideCharToMultiByte(
        CP_UTF8, 0, word, -1, bytes, sizeof bytes, NULL, NULL);

    return length > 0 && send(there, bytes, length, 0) == length;
}

static int ask_server(int count, wchar_t **words)
{
    const char *port = getenv("STUB_PORT");
    struct sockaddr_in address = {0};
    wchar_t folder[1024];
    char buffer[4096], last[4] = {0};
    int got, held = 0, i;
    WSADATA data;
    SOCKET there;

    WSAStartup(MAKEWORD(2, 2), &data);
    there = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port ? atoi(port) : 0);
    if (connect(there, (struct sockaddr *)&address, sizeof address))
        return 99;

    GetCurrentDirectoryW(1000, folder);
    send_word(there, folder);
    _wgetenv(L"PYTHONUTF8") ? send_word(there, _wgetenv(L"PYTHONUTF8"))
                            : send_word(there, L"");
    for (i = 0; i < count; i++)
        send_word(there, words[i]);
    shutdown(there, SD_SEND);

    /* Everything but the last four bytes is output. */
    while ((got = recv(there, buffer, sizeof buffer, 0)) > 0)
        for (i = 0; i < got; i++) {
            if (held == 4) {
                fputc(last[0], stdout);
                memmove(last, last + 1, 3);
                held = 3;
            }
            last[held++] = buffer[i];
        }
    fflush(stdout);
    return held == 4 ? *(int *)last : 98;
}

int wmain(int count, wchar_t **words)
{
    const wchar_t *base = wcsrchr(words[0], L'\\');
    wchar_t name[64] = L"python";
    int first = 1, launcher;

    _setmode(1, _O_BINARY);
    base = base ? base + 1 : words[0];
    launcher = _wcsnicmp(base, L"py.", 3) == 0 || _wcsicmp(base, L"py") == 0;
    if (launcher)
        wcscpy(name, L"py");
    if (launcher && count > 1 && wcsncmp(words[1], L"-3.", 3) == 0) {
        wcscat(name, words[1]);
        first = 2;
    }
    if (count > first && wcscmp(words[first], L"--version") == 0)
        return show_version(name);
    return ask_server(count - first, words + first);
}
