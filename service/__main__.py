"""`python -m service` is `coreface`."""

from service.cli.main import main

if __name__ == "__main__":
    main()
