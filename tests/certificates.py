"""Certificates for tests, made by openssl when they are asked for: no key lies in the repository."""

import subprocess
from pathlib import Path


def self_signed(folder: Path, domain: str) -> tuple[str, str]:
    """Return a certificate for every name below a domain, good for two days, and its key, PEM."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={domain}"]
    files = ["-addext", f"subjectAltName=DNS:*.{domain}", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([*command, *files], cwd=folder, check=True, capture_output=True)
    return (folder / "certificate.pem").read_text(), (folder / "key.pem").read_text()


def signed(folder: Path, *names: str) -> tuple[str, str, str]:
    """Return the certificate of an authority made for this, one that it signed for host names and addresses (IPv4), and
    that one's key, PEM."""
    alternatives = ",".join(f"{'IP' if name.replace('.', '').isdigit() else 'DNS'}:{name}" for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "extensions").write_text(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n")
    made = ["-newkey", "rsa:2048", "-nodes"]
    signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions"]
    for command in (
        ["req", "-x509", *made, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *made, "-subj", f"/CN={names[0]}", "-keyout", "key.pem", "-out", "request.pem"],
        ["x509", "-req", "-in", "request.pem", *signing, "-out", "certificate.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    authority, certificate, key = (folder / name for name in ("ca.pem", "certificate.pem", "key.pem"))
    return authority.read_text(), certificate.read_text(), key.read_text()
