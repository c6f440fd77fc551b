"""Whose turn it is: new mail always, untried mail later, nobody without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sendmail_py.shared.accounts import Accounts
from sendmail_py.shared.turns import LONGEST_REST, Turns
from sendmail_py.spool import tenants
from sendmail_py.spool.tenants import Owner


class World:
    """A shared spool of this user's, and a clock."""

    def __init__(self, base: Path, force: bool = False) -> None:
        self.now, self.watched = 1_700_000_000.0, 0.0
        self.folder = base / f"{os.getuid()}.0"
        self.folder.mkdir(mode=0o700)
        self.turns = Turns(str(base), {}, force, 3600.0, lambda: self.now, lambda: self.watched)

    def whose(self) -> list[str]:
        """The folders of who can have a turn."""
        return [one.name for one in self.turns.whose()]

    def owner(self) -> Owner:
        """The only one there is."""
        return tenants.owners(str(self.folder.parent))[0]

    def end_turn(self, due: int) -> None:
        """His turn ended like that."""
        owner = self.owner()
        self.turns.ended(owner, owner.mark, due)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "base").mkdir()
    return World(tmp_path / "base")


def test_who_is_not_known_has_a_turn(world: World) -> None:
    assert world.whose() == [world.folder.name]


def test_who_was_served_has_one_again_when_something_is_due_or_new(world: World) -> None:
    world.end_turn(int(world.now) + 100)
    world.watched += LONGEST_REST
    assert world.whose() == []
    world.now += 101
    assert world.whose() == [world.folder.name]
    world.end_turn(int(world.now) + 100)
    world.watched += LONGEST_REST
    os.utime(world.folder)
    assert world.whose() == [world.folder.name]


def test_who_wants_turn_after_turn_waits_longer_each_time(world: World) -> None:
    rests = []
    for _ in range(12):
        world.end_turn(0)
        began = world.watched
        while not world.whose():
            world.watched += 0.25
        rests.append(world.watched - began)
    assert rests == sorted(rests)
    assert rests[0] <= 0.25
    assert rests[-1] == LONGEST_REST


def test_the_run_waits_for_new_mail_of_who_had_few_turns_only(world: World) -> None:
    world.end_turn(0)
    assert 0 < world.turns.rest() <= 0.25
    for _ in range(5):
        world.end_turn(0)
    assert world.turns.rest() == 0


def test_the_run_waits_for_nobody_who_has_nothing(world: World) -> None:
    world.end_turn(int(world.now) + 100)
    assert world.turns.rest() == 0


def test_who_was_cut_short_goes_on_at_once(world: World) -> None:
    world.turns.cut_short(world.owner())
    assert world.whose() == [world.folder.name]


def test_whose_reader_failed_waits_for_the_next_run(world: World) -> None:
    world.turns.failed(world.owner())
    os.utime(world.folder)
    assert world.whose() == []
    assert world.turns.rest() == 0


def test_who_has_a_reader_gets_no_second_one(world: World) -> None:
    assert world.turns.whose({os.getuid()}) == []


def test_force_gives_everybody_one_turn(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    world = World(tmp_path / "base", force=True)
    world.turns.known = {world.folder.name: (world.owner().mark, int(world.now) + 100)}
    assert world.whose() == [world.folder.name]
    world.end_turn(int(world.now) + 100)
    world.watched += LONGEST_REST
    assert world.whose() == []


def test_what_is_known_of_folders_that_are_gone_is_forgotten(world: World) -> None:
    world.turns.known["4711.0"] = ("1:1", 5)
    world.whose()
    assert world.turns.known == {}


def test_subordinate_uids_of_one_account_have_one_turn_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Owner(uid, f"{uid}.0", "1:1") for uid in range(100_000, 100_100)]
    others = [Owner(uid, f"{uid}.0", "1:1") for uid in (1001, 1002)]
    monkeypatch.setattr(tenants, "owners", lambda base: many + others)
    world.turns.accounts = Accounts([b"eve:100000:65536"])
    found = [one.uid for one in world.turns.whose()]
    assert len(found) == 3
    assert {1001, 1002} < set(found)
    assert [one.uid for one in world.turns.whose({100_007, 1001})] == [1002]
