"""``python -m otp_gateway.settings``: prints ``.env.example``."""

import sys

from otp_gateway.settings.example import env_example

if __name__ == "__main__":
    # The text has Persian letters, so it is written in UTF-8 even if the terminal has another encoding.
    sys.stdout.buffer.write(env_example().encode())
