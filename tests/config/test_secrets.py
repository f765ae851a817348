"""No secret, and no user info of a URL, stands in anything that people or logs see."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    Between,
    ConfigError,
    Layer,
    MinLength,
    OneOf,
    Pattern,
    Secret,
    Source,
    Text,
    Url,
    environment,
    explain,
    json_file,
    load,
    mapping,
    read,
    secrets_directory,
    toml_file,
)
from heykit.config.examples import example
from heykit.config.mask import masked


def telling(secret: Secret[str]) -> str:
    return f"not {secret.reveal()}"


def raising(secret: Secret[str]) -> str:
    raise ValueError(secret.reveal())


EMPTY, A, ONE = Secret(""), Secret("a"), Secret(1)


@dataclass(frozen=True)
class Account:
    name: str
    password: Secret[str] | None = None


@dataclass(frozen=True)
class Checked:
    token: Secret[str] = EMPTY

    def __post_init__(self) -> None:
        if self.token.reveal():
            int(self.token.reveal())


@dataclass(frozen=True)
class Settings:
    long: Annotated[Secret[str], MinLength(10_000)] = EMPTY
    number: Secret[int] = ONE
    choice: Annotated[Secret[str], OneOf("a", "b")] = A
    literal: Secret[Literal["a"]] | None = None
    pattern: Secret[Annotated[str, Pattern("^$")]] = EMPTY
    told: Annotated[Secret[str], telling] = EMPTY
    raised: Annotated[Secret[str], raising] = EMPTY
    low: Annotated[Secret[int] | Secret[float], Between(0, 1)] = ONE
    several: tuple[Secret[int], ...] = ()
    by_name: dict[str, Secret[int]] | None = None
    account: Account = Account("")
    accounts: tuple[Account, ...] = ()
    checked: Checked = Checked()
    url: Annotated[str, Pattern("^sqlite:")] = "sqlite:"


SECRETS = st.text("abcXYZ0123456789!'\"\\/@:%#{}[],é\n ", max_size=20).map(lambda text: f"hunter2{text}hunter3")
PLACES = st.sampled_from(
    [
        *("long", "number", "choice", "literal", "pattern", "told", "raised", "low", "several", "by_name"),
        *("account", "accounts", "account.password", "account.pasword", "account.name.x", "checked.token", "long.x"),
        *("accounts[]", "several[]", "by_name.x", "lnog", "unheard", "accounts[].password.x", "accounts[].pasword"),
    ]
)


def nested(place: str, value: object) -> dict[str, object]:
    """Put a value at a place: `a.b[].c` is `{"a": {"b": [{"c": value}]}}`."""
    for step in reversed(place.split(".")):
        name = step.removesuffix("[]")
        value = {name: [value] if name != step else value}
    assert isinstance(value, dict)
    return value


def shown(sources: Sequence[Source]) -> str:
    """All that may be seen of one attempt to load, locals of heykit's own frames included."""
    try:
        loaded = explain(Settings, sources)
    except ConfigError as error:
        return seen(error)
    return repr(loaded) + repr(sources)


def seen(error: ConfigError) -> str:
    assert (error.__cause__, error.__context__) == (None, None)
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    inner = [frame for frame in frames if "heykit" in Path(frame.filename).parts]
    assert inner
    return "\n".join([str(error), repr(error), repr(error.faults), *traceback.StackSummary.from_list(inner).format()])


def leaks(text: str) -> bool:
    return "hunter" in text


def toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml(item)}' for name, item in value.items())}}}"
    return f"[{toml(value[0])}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


@given(PLACES, SECRETS)
def test_no_fault_shows_a_secret_of_a_mapping(place: str, secret: str) -> None:
    assert not leaks(shown([mapping(nested(place, secret))]))


@given(PLACES, SECRETS, st.sampled_from(["", '{"a":', "[", '"', "[1, ", "{"]))
def test_no_fault_shows_a_secret_of_a_variable(place: str, secret: str, before: str) -> None:
    name = place.removesuffix("[]").replace(".", "__").upper()

    assert not leaks(shown([environment("APP_", unknown="fault", variables={f"APP_{name}": before + secret})]))


@given(PLACES, SECRETS, st.integers(0, 60), st.sampled_from(["", "\n", "=", '"', "]", "\\", "}", "\x00", "'"]))
def test_no_fault_shows_a_secret_of_a_file_broken_anywhere(place: str, secret: str, cut: int, put: str) -> None:
    values = nested(place, secret)
    for source, text in [
        (json_file, json.dumps(values, indent=1)),
        (toml_file, "".join(f"{name} = {toml(value)}\n" for name, value in values.items())),
    ]:
        for broken in (text, text[:cut] + put + text[cut:]):
            with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
                file.write(broken)
                file.flush()
                text_shown = shown([source(file.name)])
            # What a cut makes of a secret may be the name of a key; names are shown.
            assert broken != text or not leaks(text_shown)
            assert "valid" not in text_shown or not leaks(text_shown)


PASSWORDS = st.text("aZ0/@:%?#é \n[]", max_size=12).map(lambda text: f"hunter2{text}hunter3")


@given(
    st.sampled_from(["postgresql://", "postgresql:/", "x:", "//", "http://"]),
    PASSWORDS,
    st.sampled_from(["u:", ":", ""]),
)
def test_the_user_info_of_a_url_is_never_shown(scheme: str, password: str, user: str) -> None:
    url = f"{scheme}{user}{password}@host/db"

    assert not leaks(shown([mapping({"url": url})]))
    assert not leaks(shown([environment("", variables={"URL": url})]))
    assert not leaks(repr(explain(Settings, [mapping({"account": {"name": url}})]).entries))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://user:pw@host/db", "postgresql://***@host/db"),
        ("postgresql://user:p@ss/w@host:5432/db", "postgresql://***@host:5432/db"),
        ("redis://:pw@host", "redis://***@host"),
        ("http://host:8000/path", "http://host:8000/path"),
        ("http://[::1]:8000/path", "http://[::1]:8000/path"),
        ("postgresql://user:pw/db", "postgresql://***"),
        ("postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db"),
        ("postgresql://host/db?user=a&password=pw&x=1", "postgresql://host/db?user=a&password=***&x=1"),
        ("somebody@example.com", "somebody@example.com"),
        ("sqlite:///./file.db", "sqlite:///./file.db"),
        ("at 10:30", "at 10:30"),
    ],
)
def test_masked_urls(text: str, expected: str) -> None:
    assert expected == masked(text)


@given(SECRETS)
def test_a_secret_does_not_show_itself(value: str) -> None:
    secret = Secret(value)

    texts = [repr(secret), str(secret), f"{secret}", f"{secret:>10}", f"{secret!r}", "%s" % secret, str([secret])]  # noqa: UP031
    assert not any(map(leaks, texts))
    assert secret.reveal() == value
    assert not hasattr(secret, "__dict__")
    assert (Secret(value), hash(Secret(value))) == (secret, hash(secret))
    assert secret != Secret(value + "x")
    assert secret != value


def test_a_secret_is_copied_as_itself_and_never_pickled() -> None:
    account = Account("a", Secret("hunter2"))

    assert asdict(account) == {"name": "a", "password": Secret("hunter2")}
    assert copy.copy(account.password) is copy.deepcopy(account.password) is account.password
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(account)
    with pytest.raises(TypeError):
        json.dumps(account.password)


def test_secrets_of_other_types_compare_by_value() -> None:
    assert Secret(b"a") == Secret(b"a")
    assert Secret("a") != Secret(b"a")
    assert Secret(("a", 1)) == Secret(("a", 1))


def test_sources_and_layers_show_no_values(tmp_path: Path) -> None:
    held = {"APP_LONG": "hunter2"}
    source = environment("APP_", variables=held)

    assert not leaks(repr(source) + repr(mapping(held)) + repr(source.read((("long",),))) + repr(Text("hunter2")))
    assert not leaks(repr(Layer({"a": "hunter2"}, str)))


def test_a_warning_shows_no_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        explain(Settings, [environment("APP_", variables={"APP_UNHEARD_OF": "hunter2"})])

    assert caplog.messages
    assert not leaks(caplog.text)


HERE = Url("http://h")


@dataclass(frozen=True)
class Addresses:
    url: Url = HERE
    urls: tuple[Url, ...] = ()
    pair: tuple[Url, Url] | None = None
    dsn: Annotated[str, Pattern("^postgres://")] = "postgres://"


@pytest.mark.parametrize("place", ["url", "dsn"])
@pytest.mark.parametrize(
    "text",
    [
        *("host=h user=u password=hunter2 dbname=d", "host=h password = 'a hunter2'", "h/db#access_token=hunter2"),
        *("h ttp://h/db?sig=hunter2", "http://u:hunter2", "http:/u:hunter2@h", "ht!tp://u:p/hunter2@h"),
    ],
)
def test_what_is_no_url_shows_no_password(place: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Addresses, [environment("", variables={place.upper(): text})])
    assert not leaks(seen(caught.value))


LONG = "?" + "key" * 30_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h/?sig=a&X-Amz-Signature=b&page=2", "http://h/?sig=***&X-Amz-Signature=***&page=2"),
        ("host=h password = 'a b' dbname=d", "host=h password = ***"),
        ("Server=db;Password=my secret pw;Encrypt=1", "Server=db;Password=***;Encrypt=1"),
        ("x=1;Pwd='a;''b';y=2", "x=1;Pwd=***;y=2"),
        ("Password={my;pass};y=2", "Password=***;y=2"),
        ("localhost:6379,ssl=true,password=a", "localhost:6379,ssl=true,password=***"),
        ('{"password": "a"}', '{"password": ***'),
        ("http://token:8080/", "http://token:8080/"),
        ("AccountName=n;AccountKey=abc==;Suffix=s", "AccountName=n;AccountKey=***;Suffix=s"),
        ("design=blue keyboard=us", "design=blue keyboard=us"),
        ("a=1#access_token=b", "a=1#access_token=***"),
        (LONG, LONG),
    ],
)
def test_what_is_named_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize("name", ["URLS", "PAIR"])
def test_a_password_that_a_comma_cuts_is_not_shown(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Addresses, [environment("", variables={name: "http://u:pw,hunter2@b"})])
    assert not leaks(seen(caught.value))


@pytest.mark.parametrize("text", ["localhost", "localhost:8080", "http//host/path", "https://", "db.internal/x"])
def test_what_can_hold_no_password_is_shown(text: str) -> None:
    with pytest.raises(ConfigError, match=f"expected URL, like https://host/path, found '{text}'"):
        load(Addresses, [environment("", variables={"URL": text})])


def test_a_secret_has_no_state_to_give_away() -> None:
    with pytest.raises(TypeError, match="is not pickled"):
        Secret("hunter2").__getstate__()


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n", encoding="utf-8-sig")

    @dataclass(frozen=True)
    class Held:
        token: Secret[str]

    assert load(Held, [secrets_directory(tmp_path)]).token.reveal() == "abc"


@dataclass(frozen=True)
class Plain:
    password: str = ""
    api_keys: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    max_token: int = 9
    limits: dict[str, int] = field(default_factory=dict)
    short: Annotated[str, MinLength(3)] = "abc"


def test_texts_named_like_secrets_are_hidden_whatever_their_type() -> None:
    source = mapping({"password": "hunter2", "api_keys": ["hunter2"], "options": {"password": "hunter2", "a": "b"}})

    shown = {entry.key: entry.shown for entry in explain(Plain, [source]).entries}

    assert shown["password"] == shown["api_keys"] == "***"
    assert (shown["options"], shown["max_token"], shown["short"]) == ("{password: ***, a: b}", "9", "abc")


@pytest.mark.parametrize(
    "values",
    [
        {"password": 5417},
        {"password": ["hunter2"]},
        {"limits": {"password": "hunter2"}},
        {"limits": {"redis://u:hunter2@h": "x"}},
        {"redis://u:hunter2@h": "x"},
        {"max_token": "hunter2"},
    ],
)
def test_what_is_found_under_a_name_like_a_secrets_is_hidden(values: Mapping[str, object]) -> None:
    with pytest.raises(ConfigError) as raised:
        load(Plain, [mapping(values)])
    assert "hunter2" not in str(raised.value)
    assert "5417" not in str(raised.value)


def test_a_rule_for_a_key_named_like_a_secret_hides_what_it_found() -> None:
    config = read([mapping({"security": {"secret_key": "hunter2"}, "port": "x"})])
    with pytest.raises(ConfigError) as raised:
        config.validate({"security.secret_key": {"type": "str", "min_length": 32}, "port": {"type": "int"}})
    assert [(fault.key, fault.found) for fault in raised.value.faults] == [
        ("security.secret_key", "***"),
        ("port", "'x'"),
    ]


def test_a_template_has_no_default_that_is_named_like_a_secret() -> None:
    @dataclass(frozen=True)
    class WithDefaults:
        password: str = "hunter2"
        options: dict[str, str] = field(default_factory=lambda: {"api_token": "hunter2"})

    for form in ("toml", "env", "json"):
        assert "hunter2" not in example(WithDefaults, form)


def test_what_a_class_says_of_a_password_is_scrubbed() -> None:
    @dataclass(frozen=True)
    class Checked:
        password: str

        def __post_init__(self) -> None:
            raise ValueError(f"{self.password} is a common password")

    with pytest.raises(ConfigError, match=r"\*\*\* is a common password"):
        load(Checked, [mapping({"password": "hunter2"})])


@dataclass(frozen=True)
class Upstream:
    name: str
    key: Secret[str]
    size: int = 1


@dataclass(frozen=True)
class Upstreams:
    ups: list[Upstream]
    named: dict[str, Upstream] = field(default_factory=dict)


def test_a_section_in_a_list_is_shown_but_for_its_secrets() -> None:
    up = {"name": "a", "key": "hunter2", "size": 5}
    entries = explain(Upstreams, [mapping({"ups": [up, up], "named": {"b": up}})]).entries
    shown = "{name: a, key: ***, size: 5}"
    assert [entry.shown for entry in entries] == [f"[{shown}, {shown}]", f"{{b: {shown}}}"]


def test_what_is_wrong_beside_a_secret_in_a_list_is_shown() -> None:
    with pytest.raises(ConfigError) as raised:
        load(Upstreams, [mapping({"ups": [{"name": "a", "key": 5417, "size": "x"}, "hunter2"]})])
    assert [(fault.key, fault.found) for fault in raised.value.faults] == [
        ("ups[0].key", "***"),
        ("ups[0].size", "'x'"),
        ("ups[1]", "***"),
    ]
    with pytest.raises(ConfigError) as raised:
        load(Upstreams, [mapping({"ups": "hunter2"})])
    assert "hunter2" not in str(raised.value)


@dataclass(frozen=True)
class Lists:
    several: list[Secret[str]] = field(default_factory=list)
    pair: tuple[Secret[str], int] = (Secret(""), 0)
    api_keys: list[int] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)


def test_a_list_that_is_none_beneath_an_item_is_hidden_where_its_items_are() -> None:
    for name in ("SEVERAL", "PAIR"):
        below, above = ({f"X_{name}{rest}": text} for rest, text in (("", '["hunter2"'), ("__0", "y")))
        with pytest.raises(ConfigError, match=r"\*\*\*") as raised:
            load(Lists, [environment("X_", variables=below), environment("X_", variables=above)])
        assert "hunter2" not in str(raised.value)


def test_an_item_read_by_its_place_is_hidden_as_the_list_is() -> None:
    with pytest.raises(ConfigError, match=r"api_keys\[0\]: expected int, found \*\*\*"):
        read([mapping({"api_keys": ["hunter2"]})]).get("api_keys.0", int)


def test_what_is_laid_over_a_secret_file_hides_it_still(tmp_path: Path) -> None:
    (tmp_path / "limits").write_text('{"a": "hunter2"}')
    with pytest.raises(ConfigError) as raised:
        load(Lists, [secrets_directory(tmp_path), environment("X_", variables={"X_LIMITS": '{"b": 1}'})])
    assert "hunter2" not in str(raised.value)


@dataclass(frozen=True)
class Mounted:
    peers: list[str] = field(default_factory=list)
    limits: Annotated[dict[str, str], lambda table: f"saw {table}" if table else None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        raise ValueError(f"{self.peers[1:]} are no peers")


def test_the_parts_of_a_secret_file_are_scrubbed(tmp_path: Path) -> None:
    below, above = secrets_directory(tmp_path), environment("X_", variables={"X_LIMITS": '{"b": "1"}'})
    (tmp_path / "peers").write_text("alice:pw1,bob:hunter2")
    with pytest.raises(ConfigError, match="are no peers") as raised:
        load(Mounted, [below])
    assert "hunter2" not in str(raised.value)
    (tmp_path / "limits").write_text('{"a": "hunter2"}')
    with pytest.raises(ConfigError) as raised:
        load(Mounted, [below, above])
    assert "hunter2" not in str(raised.value)


class Auth(StrEnum):
    basic = "basic"


@dataclass(frozen=True)
class Inner:
    api_keys: tuple[str, ...] = ("hunter2",)


@dataclass(frozen=True)
class Named:
    tokens: dict[str, str] = field(default_factory=lambda: {"alice": "hunter2"})
    passwords: tuple[dict[str, str], ...] = ({"alice": "hunter2"},)
    inner: list[Inner] = field(default_factory=lambda: [Inner()])
    auth: Auth = Auth.basic
    sig: Literal["a", "b"] = "a"
    counts: list[int] = field(default_factory=list)
    secret: dict[str, int] = field(default_factory=dict)


def test_what_stands_in_a_table_or_list_named_like_a_secret_is_hidden() -> None:
    shown = {entry.key: entry.shown for entry in explain(Named, []).entries}
    assert "hunter2" not in str(shown)
    assert (shown["auth"], shown["sig"], shown["inner"]) == ("basic", "a", "[{api_keys: ***}]")
    for form in ("toml", "env", "json"):
        assert "hunter2" not in example(Named, form)
        assert "basic" in example(Named, form)
    for variables in ({"X_SECRET__A": "hunter2"}, {"X_COUNTS": "api_keys=hunter2"}):
        with pytest.raises(ConfigError) as raised:
            load(Named, [environment("X_", variables=variables)])
        assert "hunter2" not in str(raised.value)
    with pytest.raises(ConfigError) as raised:
        read([mapping({"tokens": {"x": "hunter2"}})]).validate({"tokens.x": {"pattern": "^z"}})
    assert "hunter2" not in str(raised.value)
