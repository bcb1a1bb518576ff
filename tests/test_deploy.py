"""What people run it with: compose files, the image, units of systemd. They name things of the program, and here it is asked for them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types of its own
from redis import Redis
from redis.exceptions import AuthenticationError

import omniline
from broker.config import read_settings
from broker.outbound import lease
from broker.store.postgres import READERS, WRITERS
from broker.store.reconcile import reconcile
from broker.store.sql import insert_row
from broker.store.tables import counters
from tests.crm_bridge.house import House
from tests.support.redis import free_port, redis_server
from tests.support.store import PostgresMemory
from tests.tools.generated import families

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NAMED = [
    ROOT / "compose.yaml",
    ROOT / "Dockerfile",
    ROOT / "README.md",
    *sorted(DEPLOY.iterdir()),
    *sorted(ROOT.glob("docs/*.md")),
]

KEYS = frozenset(
    "build cap_add cap_drop command depends_on deploy env_file environment healthcheck image init logging networks ports profiles "
    "read_only restart secrets security_opt shm_size stop_grace_period tmpfs user volumes".split()
)
"""Of a service, as the Compose Specification names them: those that we use. A key that is misspelt is silently nothing."""


def _compose(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


CLUSTER = _compose(ROOT / "compose.yaml")
SINGLE = _compose(DEPLOY / "compose.single.yaml")
SERVICES: dict[str, dict[str, Any]] = {**CLUSTER["services"], **SINGLE["services"]}
OURS = {name: service for name, service in SERVICES.items() if service.get("command", [""])[0] == "omniline"}
SERVING = {name: service for name, service in OURS.items() if service["command"][1] == "serve"}
UNITS = ("omniline.service", "omniline@.service")


def _parse(arguments: list[str]) -> Any:
    """Return what the program makes of a command line. Raises SystemExit when it refuses it."""
    return omniline._parser().parse_args(arguments)


def _seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|m|)", text).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)


def _unit(name: str) -> dict[str, list[str]]:
    """Return every setting of a unit, with its values in their order."""
    settings: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


# --- the compose files


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_held_to_what_it_needs(name):
    """Read-only, no rights of root, nothing gained later, and an image whose version is named."""
    service = SERVICES[name]

    assert set(service) - KEYS == set()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert re.search(r":(?!latest$)[\w.-]+$", service["image"])
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert "privileged" not in service


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_a_service_that_stays_is_watched_and_started_again(name):
    """Whoever waits for it asks its health; when it ends it is started again."""
    service = SERVICES[name]

    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} < set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_the_programs(name):
    """Its own parser takes it: a role or an option that does not exist would end the container at its start."""
    assert _parse(OURS[name]["command"][1:]).run


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_taken(name, tmp_path, monkeypatch):
    """Its names and its values; what Compose fills in is filled in."""
    monkeypatch.chdir(tmp_path)
    for key in [key for key in os.environ if key.startswith("OMNILINE_")]:
        monkeypatch.delenv(key)
    for key, value in OURS[name]["environment"].items():
        monkeypatch.setenv(key, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))

    settings = read_settings()

    assert (settings.database_url is None) == (name == "omniline")


def test_every_role_has_a_service_of_its_own():
    """Together they do everything."""
    roles = {name: _parse(service["command"][1:]).role for name, service in SERVING.items() if name != "omniline"}

    assert {role: {role} for role in omniline.ROLES} == roles
    assert set(omniline.ROLES) == _parse(SERVICES["omniline"]["command"][1:]).role


def test_every_role_runs_as_often_as_the_file_env_says():
    """By a number of its own, which stands in the documentation: a count given on a command line is forgotten by the next one."""
    counts = {name: service["deploy"]["replicas"] for name, service in CLUSTER["services"].items() if name in omniline.ROLES}
    variables = {name: re.sub(r"^\$\{(\w+):-1\}$", r"\1", count) for name, count in counts.items()}
    running = (ROOT / "docs" / "running.md").read_text()

    assert set(variables) == set(omniline.ROLES)
    assert len(set(variables.values())) == len(variables)
    assert [variable for variable in variables.values() if f"`{variable}`" not in running] == []


def test_roles_wait_for_the_schema_and_the_schema_for_the_database():
    """A process is not started on a database that has nothing in it yet."""
    after = {name: service.get("depends_on", {}) for name, service in CLUSTER["services"].items()}

    assert after["migrate"] == {"postgres": {"condition": "service_healthy"}}
    for role in omniline.ROLES:
        assert after[role]["migrate"] == {"condition": "service_completed_successfully"}
        assert after[role]["redis"] == {"condition": "service_healthy"}


def test_health_is_what_the_program_says_of_itself():
    """The question goes to where the image listens, and asks whether there is work to be given."""
    listens = re.search(r"OMNILINE_LISTEN=0\.0\.0\.0:(\d+)", DOCKERFILE)
    assert listens

    for service in SERVING.values():
        assert f"http://127.0.0.1:{listens[1]}/readyz" in service["healthcheck"]["test"][-1]


def test_a_stop_leaves_time_for_what_is_being_sent():
    """Killed earlier, a message would stand as unconfirmed that could have been sent."""
    given = [_seconds(service["stop_grace_period"]) for service in SERVING.values()]
    given += [_seconds(_unit(unit)["TimeoutStopSec"][0]) for unit in UNITS]

    assert min(given) >= omniline.SEND_DRAIN_SECONDS + 15


def test_the_database_has_room_for_all_processes_and_more():
    """Each keeps its connections; twice as many processes must fit, with room for an administrator."""
    (allowed,) = re.findall(r"max_connections=\$\{\w+:-(\d+)\}", " ".join(SERVICES["postgres"]["command"]))

    assert int(allowed) >= 2 * len(omniline.ROLES) * (WRITERS + READERS) + 20


def test_every_secret_is_a_file_that_is_made_for_it(tmp_path):
    """By a script that makes each once, in a folder that git does not see and nobody else can enter."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    named = {name: tmp_path / secret["file"] for name, secret in CLUSTER["secrets"].items()}

    for _ in range(2):
        subprocess.run(["sh", str(tmp_path / "deploy" / "secrets.sh")], check=True, capture_output=True)
        made = {name: path.read_text() for name, path in named.items()}
        assert made == {name: path.read_text() for name, path in named.items()}

    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in made.values())
    assert {stat.S_IMODE(path.stat().st_mode) for path in named.values()} == {0o444}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert (tmp_path / "secrets" / ".gitignore").read_text() == "*\n"


def test_every_secret_that_is_asked_for_is_given():
    """A variable that ends in _FILE names one that its service has; no password stands in a file of ours."""
    for service in CLUSTER["services"].values():
        asked = {value for key, value in service.get("environment", {}).items() if key.endswith("_FILE")}
        asked |= set(re.findall(r"/run/secrets/\w+", json.dumps(service)))

        assert asked <= {f"/run/secrets/{name}" for name in service.get("secrets", [])}
        assert set(service.get("secrets", [])) <= set(CLUSTER["secrets"])
        assert not [key for key in service.get("environment", {}) if key.endswith("PASSWORD")]


def test_nothing_but_the_doors_can_be_reached():
    """The web from this machine, the proxy from everywhere; the database and Redis have no way out and none in."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(published) == {"web", "omniline", "proxy", "asterisk"}
    assert all(port.startswith("127.0.0.1:") for name in ("web", "omniline") for port in published[name])
    assert CLUSTER["networks"]["inside"]["internal"] is True
    assert [["inside"]] * 3 == [SERVICES[name]["networks"] for name in ("postgres", "redis", "migrate")]


def test_on_demand_means_off():
    """What most people do not need is started when it is named."""
    assert {"proxy": ["tls"], "asterisk": ["phone"]} == {
        name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service
    }


@pytest.mark.parametrize("compose", [CLUSTER, SINGLE], ids=["several", "single"])
def test_only_who_stands_before_the_web_is_believed(compose):
    """The gateway, by which this machine comes in, and the proxy: its address is given to nobody else."""
    web = compose["services"]["web" if compose is CLUSTER else "omniline"]
    (pool,) = compose["networks"]["default"]["ipam"]["config"]
    trusted = [ip_network(one) for one in web["environment"]["OMNILINE_TRUSTED_PROXIES"].split(", ")]
    proxy = compose["services"].get("proxy", {}).get("networks", {}).get("default", {}).get("ipv4_address")

    assert [ip_network(one) for one in (pool["gateway"], proxy) if one] == trusted
    assert all(one.subnet_of(ip_network(pool["subnet"])) for one in trusted)  # type: ignore[arg-type]
    if proxy:
        assert ip_address(proxy) not in ip_network(pool["ip_range"])


def test_the_version_is_the_programs():
    """What ran before an upgrade keeps its name, and can be started again."""
    for service in OURS.values():
        assert f"omniline:{VERSION}" == service["image"]
        assert service["build"]["args"] == {"VERSION": VERSION}


def test_redis_as_it_is_started_asks_for_a_password_and_keeps_nothing(tmp_path):
    """By the very line of the compose file; the password is not in it."""
    port = free_port()
    (tmp_path / "redis").write_text("a secret\n")
    shell, option, script = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace("/run/secrets/redis", shlex.quote(str(tmp_path / "redis")))
    script = script.replace("redis-server", redis_server()).replace("requirepass", f"port {port}\ndir {tmp_path}\nrequirepass")
    server = subprocess.Popen([shell, option, script], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert any("eady to accept connections" in line for line in server.stdout)
        with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        with Redis(port=port, password="a secret") as known:
            asked = ("save", "appendonly", "maxmemory", "maxmemory-policy")
            told = {key: value for key in asked for key, value in known.config_get(key).items()}
    finally:
        server.terminate()
        server.communicate(timeout=30)

    assert {"save": "", "appendonly": "no", "maxmemory": str(128 << 20), "maxmemory-policy": "volatile-ttl"} == told


# --- the image


def test_the_image_is_built_from_named_versions_and_our_own_files():
    """Nothing is fetched from an address, and nothing but what the build is given can be copied."""
    lines = [line.split() for line in DOCKERFILE.splitlines()]
    copied = [source for line in lines if line[:1] == ["COPY"] and not line[1].startswith("--from") for source in line[1:-1]]
    given = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    assert all(re.fullmatch(r"[\w/-]+:(?!latest)[\w.-]+", line[1]) for line in lines if line[:1] == ["FROM"])
    assert not [line for line in lines if line[:1] == ["ADD"]]
    assert [] == [source for source in copied if source.split("/")[0] not in given or not (ROOT / source).exists()]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_image_runs_as_nobody_in_particular():
    """By number, the one that the compose files name, and ends when it is asked to."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (.*)$", last, re.MULTILINE)

    assert {user} == {service["user"] for service in OURS.values()}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert f"--uid {user.split(':')[0]} " in last
    assert "STOPSIGNAL SIGTERM" in last
    assert _parse(json.loads(re.findall(r"^CMD (.*)$", last, re.MULTILINE)[0])[1:]).run


def test_the_image_serves_several_processes_and_has_nothing_under_the_gpl():
    """What is installed on demand is known, and `mail` is left to who asks for it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (chosen,) = re.findall(r'^ARG EXTRAS="(.*)"$', DOCKERFILE, re.MULTILINE)

    assert {"cluster", "phone", "telegram", "vk"} == set(chosen.split(",")) & set(extras)
    assert "mail" not in chosen


# --- systemd


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_what_the_program_knows(name):
    """For each role, where the unit is one of a role."""
    (line,) = _unit(name)["ExecStart"]
    roles = omniline.ROLES if "@" in name else ("",)

    for role in roles:
        assert _parse(shlex.split(line.replace("${ROLE}", role))[1:]).run


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_held_to_what_it_needs(name):
    """A user of its own, a system that cannot be written to, and no way to more rights; and it is always started again."""
    unit = _unit(name)

    assert unit["User"] == ["omniline"]
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged"]


def test_both_units_are_held_alike():
    """What the one may not, the other may not either."""

    def held(name: str) -> str:
        return re.sub(r".*(\nNoNewPrivileges.*?)\n\n.*", r"\1", (DEPLOY / name).read_text(), flags=re.DOTALL)

    assert held(UNITS[0]) == held(UNITS[1])
    assert held(UNITS[0]).count("\n") > 20


def test_the_example_of_the_units_settings_is_taken(tmp_path, monkeypatch):
    """With the addresses of the example."""
    monkeypatch.chdir(tmp_path)
    for line in (DEPLOY / "omniline.env").read_text().splitlines():
        if not line.startswith("#"):
            (unquoted,) = shlex.split(line)  # as systemd and a shell read it
            monkeypatch.setenv(*unquoted.split("=", 1))

    assert read_settings().public_url == "https://chat.example.com"


# --- what is written about them


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.name)
def test_every_variable_that_is_named_exists(path, tmp_path, monkeypatch):
    """In what people copy from: a misspelt one would stop their start."""
    monkeypatch.chdir(tmp_path)
    for key in [key for key in os.environ if key.startswith("OMNILINE_")]:
        monkeypatch.delenv(key)
    for name in set(re.findall(r"\bOMNILINE_[A-Z]+(?:_+[A-Z]+)*\b", path.read_text())):
        monkeypatch.setenv(name, "")  # an empty one is none, but its name must be known

    assert read_settings().port == 8080


def test_every_command_that_the_page_shows_is_one_of_the_programs():
    """As they are typed, without what follows them."""
    page = (ROOT / "docs" / "running.md").read_text()
    shown = re.findall(
        r"(?<![\w./-])(?:/opt/omniline/bin/)?omniline ((?:serve|migrate|user|apply|reconcile|replay)\b[^`#;'<|\n]*)", page
    )

    assert len(shown) > 5
    for line in shown:
        assert _parse(shlex.split(line)).run


def test_every_file_that_the_page_shows_exists():
    """In deploy/, and none lies there that no page speaks of."""
    pages = [ROOT / "docs" / "running.md", ROOT / "docs" / "monitoring.md", ROOT / "compose.yaml"]
    spoken = set(re.findall(r"deploy/([\w.@-]+\w)", "".join(page.read_text() for page in pages)))

    assert {path.name for path in DEPLOY.iterdir()} == spoken


# --- what watches them

DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
MONITORING = (ROOT / "docs" / "monitoring.md").read_text()
EXPRESSIONS = {
    **{
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    },
    **{f"alert {rule['alert']}": rule["expr"] for rule in ALERTS},
    **{f"page {expr}": expr for expr in re.findall(r"`([^`\n]*omniline_[^`\n]*)`", MONITORING.split("## Every number")[0])},
}


def _samples() -> dict[str, set[str]]:
    """Return the samples that a process may show, by name with their labels, as Prometheus writes them."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    found: dict[str, set[str]] = {}
    for family, labels in families():
        for ending in endings[family.type]:
            found[family.name + ending] = {*labels, *(("le",) if ending == "_bucket" else ())}
    return found


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_every_number_that_is_looked_at_is_shown(name):
    """By its name, with the labels it has: a misspelt one is an empty panel, or an alarm that never comes."""
    samples, expression = _samples(), EXPRESSIONS[name]
    named = set(re.findall(r"omniline_\w+", expression)) if "*" not in expression else set()
    asked = set(re.findall(r"by \(([\w, ]+)\)", expression)) | set(re.findall(r"\{(\w+)=", expression))
    labels = {label for one in asked for label in one.split(", ")} - {"instance", "job"}  # Prometheus gives these
    bare = {sample.rsplit("_", 1)[0] for sample in samples if sample.endswith("_sum")}  # a histogram as the page names it

    assert named <= samples.keys() | bare
    if named and named <= samples.keys():
        assert labels <= set().union(*(samples[one] for one in named))


def test_commands_are_those_of_the_units(tmp_path):
    """Their user, their program, their data: a command that is called otherwise would make a house of its own."""
    stub = tmp_path / "runuser"
    stub.write_text('#!/bin/sh\necho "$OMNILINE_DATA" "$@"\n')
    stub.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    said = subprocess.run(
        ["sh", str(DEPLOY / "omniline.sh"), "user", "add", "ann", "--name", "Ann Lee"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    user, program = (_unit("omniline.service")[key][0] for key in ("User", "ExecStart"))
    assert said.stdout == f"/var/lib/omniline -u {user} -- {program.split()[0]} user add ann --name Ann Lee\n"
    assert {name: _unit(name)["EnvironmentFile"][0].lstrip("-") for name in UNITS} == dict.fromkeys(
        UNITS, "/etc/omniline/omniline.env"
    )
    assert ". /etc/omniline/omniline.env" in (DEPLOY / "omniline.sh").read_text()


def test_every_alert_is_explained_and_every_process_is_asked():
    """The page says what to do about each; the scraper asks the roles of the compose file."""
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]["dns_sd_configs"][0]

    assert {rule["alert"] for rule in ALERTS} == set(re.findall(r"^\| (Omniline\w+) \|", MONITORING, re.MULTILINE))
    assert set(scraped["names"]) == {name for name in SERVING if name in CLUSTER["services"]}
    assert (scraped["type"], scraped["port"]) == ("A", 8080)


def test_panels_stand_side_by_side():
    """None over another, each with words of its own."""
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_what_is_kept_back_after_a_restore_never_leaves():
    """Whether it waited or was being sent; what the customer has stays as it is, and the house is whole."""
    house = House(cast(Any, PostgresMemory))
    house.do(lambda tx: tx.run(insert_row(counters, "name value"), name="fence", value=1))
    shop = house.line("shop")
    site = house.channel(shop, "site")
    ann = house.operator("ann", shop)
    conversation = house.say(site, "eve", "hello")
    house.settle()
    house.take(conversation, ann)
    house.reply(conversation, ann, "here already")
    house.settle()
    before = len(site.far.delivered)
    house.reply(conversation, ann, "on its way")
    house.reply(conversation, ann, "behind it")
    house.decide()
    house.do(lambda tx: lease(tx, conversation, "gone", 1, 0.0))

    store = cast(PostgresMemory, house.store)
    store.database.connection.execute((DEPLOY / "keep_back.sql").read_text().encode())
    house.later(hours=1)

    assert [row["state"] for row in house.rows("outbox")][-3:] == ["sent", "cancelled", "cancelled"]
    assert [row["fate"] for row in house.rows("messages", author="operator")] == ["sent", "cancelled", "cancelled"]
    assert len(site.far.delivered) == before
    report = house.do(reconcile)
    assert report.ok, report.text()
