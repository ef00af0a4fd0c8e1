"""``otp-gateway``, and ``python -m otp_gateway`` in a checkout."""

from otp_gateway import cli


def main() -> None:
    """Run the command that the arguments name."""
    cli.main()


if __name__ == "__main__":
    main()
