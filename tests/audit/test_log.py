"""The log: whatever is done to it shows, and nothing that was recorded is ever lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_kb.audit import log
from policy_kb.audit.log import START, append, canonical, check_log, hash_of
from policy_kb.diagnostics import Refused


def filled(path: Path, number: int) -> list[bytes]:
    """A log of so many small entries, and its lines."""
    for entry in range(number):
        append(path, {"case": f"A-{entry}", "decision": "met", "numbers": [1, 2.5, None, "é"]}, {"reading": "choice"})
    return path.read_bytes().splitlines(keepends=True)


def problems(path: Path) -> list[tuple[int, str]]:
    return [(line.number, line.problem) for line in check_log(path) if line.problem is not None]


def entries(path: Path) -> list[int]:
    return [line.entry["entry"] for line in check_log(path) if line.entry is not None]


PIECES = [b"{}\n", b" #torn\n", b'{"determination":{', b"x", b"\n"]


@given(st.binary() | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_bytes_are_no_log_and_break_nothing(tmp_path_factory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(raw)
    assert entries(path) == []
    assert bool(problems(path)) == bool(raw)
    try:
        assert append(path, {"case": "A-1"}, {})["entry"] == 1
    except Refused:
        assert path.read_bytes() == raw
    else:
        assert path.read_bytes().startswith(raw)
        assert problems(path) == []


def test_entries_are_chained_from_the_first_one_on(tmp_path) -> None:
    path = tmp_path / "log"
    filled(path, 3)
    found = [line.entry for line in check_log(path)]
    assert [entry["entry"] for entry in found] == [1, 2, 3]
    assert [entry["previous"] for entry in found] == [START, found[0]["hash"], found[1]["hash"]]
    assert all(entry["hash"] == hash_of(entry) and entry["torn"] is None for entry in found)
    assert found[1]["determination"]["case"] == "A-1"
    assert found[1]["readings"] == {"reading": "choice"}
    assert problems(path) == []


def test_a_log_can_be_checked_by_what_its_description_says(tmp_path) -> None:
    import hashlib

    path = tmp_path / "log"
    filled(path, 2)
    previous = "sha256:" + "0" * 64
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        stated = entry.pop("hash")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert stated == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        assert entry["previous"] == previous
        previous = stated


@given(st.data())
def test_any_byte_that_is_changed_put_in_or_left_out_is_found(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    whole = b"".join(filled(path, 3))
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = bytes([data.draw(st.integers(0, 255))])
    changed = data.draw(st.sampled_from([
        whole[:place] + byte + whole[place + 1 :], whole[:place] + byte + whole[place:],
        whole[:place] + whole[place + 1 :],
    ]))
    path.write_bytes(changed)
    assert bool(problems(path)) == (changed != whole)


def test_every_entry_that_is_edited_removed_exchanged_repeated_or_put_in_is_found(tmp_path, effort: int) -> None:
    path = tmp_path / "log"
    lines = filled(path, 6)
    source = random.Random(7)

    def broken(changed: list[bytes]) -> list[tuple[int, str]]:
        path.write_bytes(b"".join(changed))
        return problems(path)

    for place in range(len(lines)):
        edited = lines[place].replace(b'"met"', b'"not met"')
        assert broken([*lines[:place], edited, *lines[place + 1 :]])[0][0] == place + 1
        assert broken([*lines[: place + 1], *lines[place:]])[0][0] == place + 2
        assert broken([*lines[:place], b"{}\n", *lines[place:]])[0][0] == place + 1
        assert broken([*lines[:place], b"\n", *lines[place:]])[0][0] == place + 1
        assert broken([*lines[:place], b"x #torn\n", *lines[place:]])[0][0] == place + 1
        if place < len(lines) - 1:
            assert broken([*lines[:place], *lines[place + 1 :]])[0][0] == place + 1
        for _ in range(3 * effort):
            shuffled = lines.copy()
            source.shuffle(shuffled)
            first = next((n for n, (one, two) in enumerate(zip(lines, shuffled, strict=True), 1) if one != two), None)
            assert [line for line, _ in broken(shuffled)][:1] == ([] if first is None else [first])


def test_an_entry_that_is_edited_with_its_hash_is_found_by_the_next_one(tmp_path) -> None:
    path = tmp_path / "log"
    lines = filled(path, 4)
    for place in range(4):
        entry = json.loads(lines[place])
        entry["determination"]["decision"] = "not met"
        entry["hash"] = hash_of(entry)
        path.write_bytes(b"".join([*lines[:place], canonical(entry) + b"\n", *lines[place + 1 :]]))
        # Of the last entry only its hash, kept elsewhere, can tell.
        assert [line for line, _ in problems(path)] == ([place + 2] if place < 3 else [])
        assert [line.entry["hash"] for line in check_log(path)][-1] != json.loads(lines[3])["hash"] or place < 3


def test_a_write_that_is_cut_off_anywhere_leaves_the_entries_before_it_valid_and_is_gone_on_from(tmp_path) -> None:
    path = tmp_path / "log"
    lines = filled(path, 3)
    before, last = b"".join(lines[:2]), lines[2]
    for length in range(1, len(last)):
        path.write_bytes(before + last[:length])
        is_whole = length == len(last) - 1
        ((line, said),) = problems(path)
        assert line == 3
        assert "cut off" in said
        assert entries(path) == ([1, 2, 3] if is_whole else [1, 2])
        added = append(path, {"case": "next"}, {})
        assert path.read_bytes().startswith(before + last[:length])
        assert problems(path) == []
        assert added["entry"] == (4 if is_whole else 3)
        assert added["previous"] == json.loads(lines[2 if is_whole else 1])["hash"]
        assert (added["torn"] is None) == is_whole


def test_what_was_torn_is_vouched_for_and_cannot_be_changed_afterwards(tmp_path) -> None:
    path = tmp_path / "log"
    lines = filled(path, 2)
    path.write_bytes(b"".join(lines)[:-20])
    append(path, {"case": "next"}, {})
    whole = path.read_bytes()
    torn = whole.splitlines(keepends=True)[1]
    assert torn.endswith(b" #torn\n")
    for changed in (whole.replace(torn, b""), whole.replace(torn, torn[1:]), whole.replace(torn, torn + torn)):
        path.write_bytes(changed)
        assert problems(path)


@given(cuts=st.lists(st.integers(1, 400), max_size=5), is_first=st.booleans())
def test_writes_that_are_cut_off_again_and_again_lose_nothing(tmp_path_factory, cuts, is_first) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    if not is_first:
        filled(path, 1)
    kept = entries(path) if path.exists() else []
    for cut in cuts:
        size = path.stat().st_size if path.exists() else 0
        append(path, {"case": "cut"}, {})
        with path.open("r+b") as file:
            file.truncate(max(size + 1, path.stat().st_size - cut))
    added = append(path, {"case": "last"}, {})
    assert problems(path) == []
    found = entries(path)
    assert found[: len(kept)] == kept
    assert found == list(range(1, added["entry"] + 1))


def _append_many(path: Path, name: str, number: int) -> None:
    for count in range(number):
        append(path, {"case": f"{name}-{count}", "text": "x" * 5000}, {})


def test_processes_that_write_at_once_lose_nothing_and_break_nothing(tmp_path) -> None:
    path = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_many, args=(path, name, 25)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert problems(path) == []
    cases = [line.entry["determination"]["case"] for line in check_log(path)]
    assert len(cases) == 75
    for name in "abc":
        assert [case for case in cases if case.startswith(name)] == [f"{name}-{count}" for count in range(25)]


def test_a_process_that_is_killed_leaves_a_log_that_goes_on(tmp_path) -> None:
    path = tmp_path / "log"
    script = (
        "import sys; from pathlib import Path; from policy_kb.audit.log import append\n"
        "while True: print(append(Path(sys.argv[1]), {'case': 'x' * 20000}, {})['entry'], flush=True)"
    )
    said = 0
    for pause in (0.05, 0.02, 0.1):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = int(process.stdout.readline())
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        # Every entry that was reported is there.
        assert entries(path)[:said] == list(range(1, said + 1))
    append(path, {"case": "last"}, {})
    assert problems(path) == []


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path) -> None:
    path = tmp_path / "log"
    filled(path, 2)
    before = path.read_bytes()
    script = (
        "import resource, signal, sys; from pathlib import Path; from policy_kb.audit.log import append\n"
        "from policy_kb.diagnostics import Refused\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1]); size = path.stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))\n"
        "try: append(path, {'case': 'x' * 5000}, {})\n"
        "except Refused as refused: print(refused)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "not recorded: File too large" in done.stdout
    assert path.read_bytes() == before


@pytest.mark.parametrize("failing", ["write", "fsync"])
@pytest.mark.parametrize("can_be_taken_back", [True, False])
def test_a_write_that_fails_is_not_reported_as_recorded(
    tmp_path, monkeypatch, failing: str, can_be_taken_back: bool
) -> None:
    path = tmp_path / "log"
    filled(path, 2)
    before = path.read_bytes()
    write = os.write

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    def part(file: int, data: bytes) -> int:
        if len(data) < 100:
            full()
        return write(file, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(log.os, failing, part if failing == "write" else full)
        if not can_be_taken_back:
            patched.setattr(log.os, "ftruncate", full)
        with pytest.raises(Refused, match="not recorded: No space left on device"):
            append(path, {"case": "A-1"}, {})
    assert path.read_bytes().startswith(before)
    assert can_be_taken_back == (path.read_bytes() == before)
    append(path, {"case": "A-2"}, {})
    assert problems(path) == []


def test_a_log_that_does_not_end_with_an_entry_is_not_extended(tmp_path) -> None:
    path = tmp_path / "log"
    lines = filled(path, 2)
    for ending in (b"\n", b"{}\n", lines[0].replace(b"A-0", b"A-9"), b"\xff\n", b"x" * 100_000 + b"\n"):
        path.write_bytes(b"".join(lines) + ending)
        with pytest.raises(Refused, match="does not end with an entry"):
            append(path, {"case": "A-3"}, {})
        assert path.read_bytes() == b"".join(lines) + ending


def test_an_entry_longer_than_what_is_read_at_a_time_is_found(tmp_path) -> None:
    path = tmp_path / "log"
    for number in range(1, 4):
        assert append(path, {"case": "x" * 300_000}, {})["entry"] == number
    assert problems(path) == []


def test_what_is_no_file_is_not_written_to(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/full"), Path("/dev/null"), tmp_path / "nowhere" / "log"):
        with pytest.raises(Refused, match="not recorded"):
            append(path, {"case": "A-1"}, {})
    assert sorted(os.listdir(tmp_path)) == ["pipe"]
