"""Lines of `htpasswd -nB` for tests."""

ALICE = "alice:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"
BOB = "bob:$2b$05$abcdefghijklmnopqrstuuhKF09ZYWwH2zP/0fwE1X8e/Q1YNx/hO"
PASSWORDS = {"alice": "correct horse", "bob": "x"}  # of these lines
