"""``python -m otp_gateway.settings``: prints ``.env.example``."""

import sys

from otp_gateway.settings.example import env_example

if __name__ == "__main__":
    # The text holds Persian, whatever encoding the terminal has.
    sys.stdout.buffer.write(env_example().encode())
