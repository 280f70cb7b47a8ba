"""`longshore scan-db`: the database of known vulnerabilities."""

import json
import subprocess
import zipfile

import pytest

from conftest import BARE, LONGSHORE


def advisory(name, package, fixed, **more):
    return {
        "id": name,
        "modified": "2024-01-02T03:04:05Z",
        "summary": f"{package} is broken",
        "affected": [
            {
                "package": {"ecosystem": "Debian:12", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
    } | more


@pytest.fixture
def scan_db(tmp_path):
    def run(*arguments):
        command = [LONGSHORE, "--data-dir", tmp_path / "data", "scan-db", *arguments]
        return subprocess.run(command, env=BARE, capture_output=True, text=True, timeout=60)

    return run


def test_advisories_are_imported_and_told_of(scan_db, tmp_path):
    source = tmp_path / "all.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"CVE-2024-{number}.json", json.dumps(advisory(f"CVE-2024-{number}", f"p{number % 100}", "2")))
        withdrawn = advisory("CVE-2023-1", "p1", "2", withdrawn="2024-01-01T00:00:00Z")
        archive.writestr("CVE-2023-1.json", json.dumps(withdrawn))
        archive.writestr("broken.json", "{")
    imported = scan_db("import", source)
    assert imported.returncode == 0, imported.stderr
    assert "300 advisories, the newest of 2024-01-02T03:04:05Z" in imported.stdout
    assert "1 withdrawn" in imported.stdout
    assert "1 could not be read" in imported.stderr and "broken.json" in imported.stderr
    status = scan_db("status")
    assert status.returncode == 0, status.stderr
    assert "300 advisories" in status.stdout
    assert ["Debian:12", "100"] in [line.split() for line in status.stdout.splitlines()]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["scan-db.sqlite", "scan-db.sqlite.lock"]


def test_there_is_no_database_until_one_was_imported(scan_db, tmp_path):
    status = scan_db("status")
    assert status.returncode == 1
    assert "no vulnerability database has been imported: run `longshore scan-db import FILE`" in status.stderr
    for name, content, words in [
        ("absent", None, "No such file"),
        ("noise.json", "noise", "no advisory that could be read"),
        ("broken.zip", "PK noise", "broken.zip"),
    ]:
        if content is not None:
            (tmp_path / name).write_text(content)
        failed = scan_db("import", tmp_path / name)
        assert failed.returncode == 1 and words in failed.stderr, failed.stderr
    assert not (tmp_path / "data" / "scan-db.sqlite").exists()
