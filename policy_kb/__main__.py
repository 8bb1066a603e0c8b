"""`python -m policy_kb`: the same as `policy-kb`."""

from policy_kb.commands import main

if __name__ == "__main__":
    main()
