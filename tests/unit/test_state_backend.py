"""Where the state is kept, and the objects in it."""

import os

import pytest

from machine.progress import SetupError
from machine.workdir import WorkDir
from ops.state.store import FileStore, S3Store, readable_store, store_at
from toolchain.environment import absolute, backend_url, environment, local_backend, uses_local_backend


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    return WorkDir(tmp_path)


def say(work, text):
    (work.checkout / "Pulumi.yaml").write_text(f"name: dockyard\nruntime: python\n{text}")


def test_the_state_is_kept_in_the_checkout_by_default(work):
    assert backend_url(work) == local_backend(work)
    say(work, "")
    assert backend_url(work) == local_backend(work)
    assert uses_local_backend(work)
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in environment(work)


def test_pulumis_setting_counts_and_the_environment_counts_more(work, monkeypatch):
    say(work, 'backend: {url: "s3://bucket/prefix?region=eu-west-3"}\n')
    assert environment(work)["PULUMI_BACKEND_URL"] == "s3://bucket/prefix?region=eu-west-3"
    assert not uses_local_backend(work)
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment(work), "ours opens nothing there"
    monkeypatch.setenv("PULUMI_BACKEND_URL", local_backend(work))
    assert uses_local_backend(work)


def test_a_file_address_is_absolute(work, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert absolute(work, "file://state") == f"file://{work.checkout}/state"
    assert absolute(work, "file://~/state?no_tmp_dir=true") == "file:///home/ann/state?no_tmp_dir=true"
    assert absolute(work, "file:///state") == "file:///state"
    assert absolute(work, "gs://state") == "gs://state"


def test_a_file_store_uses_the_engines_names(tmp_path):
    store = FileStore(tmp_path)
    store.write(".pulumi/a/one.json", b"1")
    (tmp_path / ".pulumi/a/one.json.attrs").write_text("the engine's checksum of what was there")
    store.write(".pulumi/a/one.json", b"2")
    store.write(".pulumi/a/b/two.json", b"3")
    store.write(".pulumi/c.json", b"4")
    assert store.keys(".pulumi/a/") == [".pulumi/a/b/two.json", ".pulumi/a/one.json"]
    assert store.keys(".pulumi/a/o") == [".pulumi/a/one.json"]
    assert store.keys("nothing/") == []
    assert store.read(".pulumi/a/one.json") == b"2"
    assert not (tmp_path / ".pulumi/a/one.json.attrs").exists(), "a checksum of what was there is not left beside it"
    assert (tmp_path / ".pulumi/a/one.json").stat().st_mode & 0o777 == 0o600
    store.delete(".pulumi/a/one.json")
    store.delete(".pulumi/a/one.json")
    with pytest.raises(FileNotFoundError):
        store.read(".pulumi/a/one.json")


@pytest.mark.parametrize(
    ("options", "endpoint"),
    [
        ("", "https://bucket.s3.eu-west-3.amazonaws.com"),
        ("&endpoint=https://s3.example", "https://s3.example"),
        ("&endpoint=minio:9000&disableSSL=true&s3ForcePathStyle=true", "http://minio:9000"),
        ("&endpoint=minio:9000", "https://minio:9000"),
    ],
)
def test_an_s3_address_means_the_same_as_to_the_engine(work, options, endpoint):
    store = store_at(f"s3://bucket/a/prefix?region=eu-west-3{options}")
    assert isinstance(store, S3Store)
    assert (store.bucket, store.prefix, store.address) == ("bucket", "a/prefix/", "s3://bucket/a/prefix")
    assert store._client.meta.region_name == "eu-west-3"
    assert store._client.meta.endpoint_url in (endpoint, endpoint.replace("bucket.", ""))
    assert store._client.meta.config.s3["addressing_style"] == ("path" if "PathStyle" in options else "auto")


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_read_from_either_variable_of_aws(work, monkeypatch, variable):
    monkeypatch.setenv(variable, "eu-north-1")
    store = store_at("s3://bucket")
    assert isinstance(store, S3Store)
    assert store._client.meta.region_name == "eu-north-1"
    assert store.prefix == ""


def test_a_backend_that_only_the_engine_reads_is_refused_with_a_remedy(work, monkeypatch):
    monkeypatch.setenv("PULUMI_BACKEND_URL", "azblob://container")
    with pytest.raises(SetupError, match="is stored at azblob://") as told:
        readable_store(work, "this knows files and S3", "do that")
    assert told.value.remedy == "do that"
