"""Starts the commands from a checkout: `python cli.py decide CASE`. Installed, they are called `policy-kb`."""

from policy_kb.commands import main

if __name__ == "__main__":
    main()
