"""The programs behind notebooks 90 to 92, and the chat: options, runs, files."""
