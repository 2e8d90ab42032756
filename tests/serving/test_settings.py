from __future__ import annotations

from pathlib import Path

import pytest

from serving import settings as module
from serving.settings import Settings, SettingsError, default_artifacts


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 3), (8, 9)])
def test_one_worker_more_than_cores_fills_them(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: cores)
    assert Settings().workers == workers


def test_the_defaults_serve_on_this_machine_alone() -> None:
    settings = Settings.from_environment({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.workers >= 1
    assert settings.memory_bytes > 0
    assert (settings.hosts, settings.proxies, settings.origins) == ((), (), ())


def test_each_variable_sets_its_field() -> None:
    settings = Settings.from_environment(
        {
            "LESIONLENS_ARTIFACTS": "/models",
            "LESIONLENS_MODEL": "cnn",
            "LESIONLENS_HOST": "0.0.0.0",
            "LESIONLENS_PORT": "81",
            "LESIONLENS_WORKERS": "3",
            "LESIONLENS_THREADS": "2",
            "LESIONLENS_MAX_BYTES": "1000",
            "LESIONLENS_MAX_PIXELS": "2000",
            "LESIONLENS_MAX_FILES": "5",
            "LESIONLENS_MAX_REQUEST_BYTES": "6000",
            "LESIONLENS_MAX_PARTS": "7",
            "LESIONLENS_MAX_HEADER_BYTES": "8000",
            "LESIONLENS_MAX_CONNECTIONS": "90",
            "LESIONLENS_IDLE_SECONDS": "12",
            "LESIONLENS_HEADER_SECONDS": "1.5",
            "LESIONLENS_BODY_SECONDS": "20",
            "LESIONLENS_DEADLINE_SECONDS": "21",
            "LESIONLENS_DRAIN_SECONDS": "22",
            "LESIONLENS_QUEUE": "23",
            "LESIONLENS_MEMORY_BYTES": "400000000",
            "LESIONLENS_HOSTS": "lesions.example, *.lesions.example",
            "LESIONLENS_PROXIES": "private,203.0.113.7,2001:db8::/32",
            "LESIONLENS_CLIENT_HEADER": "x-real-ip",
            "LESIONLENS_RATE_LIMIT": "24",
            "LESIONLENS_ORIGINS": "https://clinic.example",
            "LESIONLENS_HSTS_SECONDS": "0",
            "LESIONLENS_METRICS_TOKEN": "secret",
            "LESIONLENS_TRACES_ENDPOINT": "http://collector:4318",
            "LESIONLENS_LOG_LEVEL": "warning",
            "LESIONLENS_LOG_FORMAT": "json",
            "HOME": "/somewhere",
        }
    )
    assert settings == Settings(
        artifacts=Path("/models"),
        model="cnn",
        host="0.0.0.0",
        port=81,
        workers=3,
        threads=2,
        max_bytes=1000,
        max_pixels=2000,
        max_files=5,
        max_request_bytes=6000,
        max_parts=7,
        max_header_bytes=8000,
        max_connections=90,
        idle_seconds=12,
        header_seconds=1.5,
        body_seconds=20,
        deadline_seconds=21,
        drain_seconds=22,
        queue=23,
        memory_bytes=400_000_000,
        hosts=("lesions.example", "*.lesions.example"),
        proxies=("private", "203.0.113.7", "2001:db8::/32"),
        client_header="x-real-ip",
        rate_limit=24,
        origins=("https://clinic.example",),
        hsts_seconds=0,
        metrics_token="secret",
        traces_endpoint="http://collector:4318",
        log_level="warning",
        log_format="json",
    )
    assert (settings.limits.max_bytes, settings.limits.max_pixels) == (1000, 2000)


def test_the_platforms_port_counts_where_ours_is_not_set() -> None:
    assert Settings.from_environment({"PORT": "10000"}).port == 10000
    assert Settings.from_environment({"PORT": "10000", "LESIONLENS_PORT": "81"}).port == 81


def test_an_empty_variable_is_not_set() -> None:
    assert Settings.from_environment({"LESIONLENS_PORT": "", "PORT": ""}).port == 8000


def test_what_kubernetes_tells_of_a_service_of_our_name_is_no_setting() -> None:
    told = {
        "LESIONLENS_SERVICE_HOST": "10.96.0.12",
        "LESIONLENS_SERVICE_PORT": "8000",
        "LESIONLENS_SERVICE_PORT_HTTP": "8000",
        "LESIONLENS_PORT": "tcp://10.96.0.12:8000",
        "LESIONLENS_PORT_8000_TCP": "tcp://10.96.0.12:8000",
        "LESIONLENS_PORT_8000_TCP_PROTO": "tcp",
        "LESIONLENS_PORT_8000_TCP_PORT": "8000",
        "LESIONLENS_PORT_8000_TCP_ADDR": "10.96.0.12",
    }
    assert Settings.from_environment(told) == Settings()
    assert Settings.from_environment({**told, "PORT": "81"}).port == 81


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LESIONLENS_PORT", "eighty", "Expected `int`"),
        ("LESIONLENS_PORT", "65536", "<= 65535"),
        ("PORT", "-1", ">= 0"),
        ("LESIONLENS_WORKERS", "0", ">= 1"),
        ("LESIONLENS_MAX_BYTES", "25MB", "Expected `int`"),
        ("LESIONLENS_LOG_LEVEL", "loud", "Invalid enum value"),
        ("LESIONLENS_DEADLINE_SECONDS", "0", "> 0"),
        ("LESIONLENS_RATE_LIMIT", "-1", ">= 0"),
        ("LESIONLENS_MAX_HEADER_BYTES", "10", ">= 1024"),
        ("LESIONLENS_CLIENT_HEADER", "host", "Invalid enum value"),
    ],
)
def test_a_wrong_value_is_refused_with_its_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}='{value}': .*{expected}"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LESIONLENS_PROT", "LESIONLENS_PORT"),
        ("LESIONLENS_ARTEFACTS", "LESIONLENS_ARTIFACTS"),
        ("LESIONLENS_MAX_BYTE", "LESIONLENS_MAX_BYTES"),
    ],
)
def test_a_misspelt_setting_is_refused_with_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is no setting. Is {meant} meant?"):
        Settings.from_environment({name: "80"})


def test_a_variable_of_a_platform_is_passed_over() -> None:
    assert Settings.from_environment({"LESIONLENS_SERVICE_HOST": "10.0.0.1"}).port == 8000


def test_artifacts_of_the_working_directory_go_before_the_checkouts(tmp_path: Path) -> None:
    assert default_artifacts(tmp_path) == module.CHECKOUT / "artifacts"
    (tmp_path / "artifacts").mkdir()
    assert default_artifacts(tmp_path) == tmp_path / "artifacts"


@pytest.mark.parametrize("proxy", ["nginx", "10.0.0.1/8", "10.0.0", "*"])
def test_a_proxy_that_is_no_network_is_refused(proxy: str) -> None:
    with pytest.raises(SettingsError, match=r"LESIONLENS_PROXIES: .* is no address or network"):
        Settings.from_environment({"LESIONLENS_PROXIES": f"10.0.0.0/8,{proxy}"})


@pytest.mark.parametrize(
    "host",
    [
        "lesions.example:8443",
        "https://lesions.example",
        "lesions.example/",
        "lesions.example.",
        "*",
        "a.*.example",
        "l\u00e4sion.example",
        "::1",
    ],
)
def test_a_host_that_no_request_is_for_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"LESIONLENS_HOSTS: .* without scheme, port or path"):
        Settings.from_environment({"LESIONLENS_HOSTS": f"lesions.example,{host}"})


@pytest.mark.parametrize("host", ["Lesions.example", "*.lesions.example", "localhost", "[::1]"])
def test_a_host_may_be_any_that_requests_are_for(host: str) -> None:
    assert Settings.from_environment({"LESIONLENS_HOSTS": host}).hosts == (host,)


@pytest.mark.parametrize(
    "origin",
    [
        "https://clinic.example/",
        "https://clinic.example/page",
        "clinic.example",
        "https://Clinic.example",
        "https://clinic.example:443",
        "https://",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"LESIONLENS_ORIGINS: .* as https://clinic\.example;"):
        Settings.from_environment({"LESIONLENS_ORIGINS": f"https://a.example,{origin}"})


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "https://*.clinic.example", "http://[::1]:81", "null", "*"]
)
def test_an_origin_may_be_any_that_a_browser_sends(origin: str) -> None:
    assert Settings.from_environment({"LESIONLENS_ORIGINS": origin}).origins == (origin,)


def test_render_is_known_by_its_variables() -> None:
    environment = {"RENDER": "true", "RENDER_EXTERNAL_HOSTNAME": "lesions.onrender.com"}
    settings = Settings.from_environment(environment)
    assert settings.hosts == ()
    assert settings.proxies == ("private", "cloudflare")
    assert settings.client_header == "x-forwarded-for"
    assert settings.rate_limit == 600
    assert settings.idle_seconds == 120
    own = Settings.from_environment({**environment, "LESIONLENS_HOSTS": "lesions.example"})
    assert own.hosts == ("lesions.example",)


def test_railway_is_known_by_its_variables() -> None:
    environment = {"RAILWAY_PROJECT_ID": "1", "RAILWAY_PUBLIC_DOMAIN": "lesions.up.railway.app"}
    settings = Settings.from_environment(environment)
    assert settings.hosts == ()
    assert settings.proxies == ("private",)
    assert settings.client_header == "x-real-ip"
    assert settings.rate_limit == 600
    assert settings.idle_seconds == 120


def test_opentelemetrys_own_variable_counts_where_ours_is_not_set() -> None:
    standard = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert Settings.from_environment(standard).traces_endpoint == "http://collector:4318"


@pytest.mark.parametrize("memory", [100_000_000, 1_000_000_000])
def test_no_request_may_be_larger_than_there_is_room_for(memory: int) -> None:
    settings = Settings(memory_bytes=memory)
    assert settings.sent_bytes + settings.decoded_bytes == memory
    assert settings.request_bytes == min(settings.max_request_bytes, memory // 4)
