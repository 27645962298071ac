"""The soak's schedule: the seed decides it, owners overlap, and nothing is left out."""

import pytest
from soak.schedule import DAMAGES, FAULTS, SLOTS, covered, has_twin, owned, plan, rules_of, thing

PARTITIONS = 4
SEEDS = range(10)


def roles_after(schedule):
    """The roles after each round, as the run sets them."""
    roles = list(schedule.roles)
    for round_ in schedule.rounds:
        for harm in round_.harms:
            if harm.fault in ("rescale", "change rules", "kill all owners"):
                roles = list(harm.roles)
            else:
                for slot, role in zip(harm.slots, harm.roles, strict=False):
                    roles[slot] = role
        yield roles


def harms(schedule):
    return [harm for round_ in schedule.rounds for harm in round_.harms]


def test_a_role_owns_what_an_owner_of_that_ordinal_owns():
    assert owned((1, 0), 4) == {0, 1, 2, 3}
    assert owned((3, 1), 4) == {1}
    assert owned((3, 0), 4) == {0, 3}
    assert not covered([(2, 0), (4, 1)], 4)
    assert has_twin(0, [(4, 0), (2, 0)], 4)
    assert not has_twin(1, [(4, 0), (2, 0)], 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_partition_is_somebodys_after_every_round(seed):
    for roles in roles_after(plan(seed, 100, PARTITIONS)):
        assert len(roles) == SLOTS
        assert covered(roles, PARTITIONS)


def test_the_seed_decides_everything():
    assert plan(7, 50, PARTITIONS) == plan(7, 50, PARTITIONS)
    assert plan(7, 50, PARTITIONS).rounds != plan(8, 50, PARTITIONS).rounds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_full_run_leaves_nothing_out(seed):
    schedule = plan(seed, 100, PARTITIONS)
    found = harms(schedule)
    assert [round_.number for round_ in schedule.rounds] == list(range(1, 101))
    assert {harm.fault for harm in found} == {*FAULTS, "change rules"}
    assert sum(harm.fault == "change rules" for harm in found) >= 3
    assert {harm.damage for harm in found} == {"", *DAMAGES}
    assert any(len(round_.harms) == 2 for round_ in schedule.rounds)


@pytest.mark.parametrize("seed", SEEDS)
def test_owners_overlap_and_ownership_moves(seed):
    schedule = plan(seed, 100, PARTITIONS)
    all_roles = [tuple(roles) for roles in roles_after(schedule)]
    doubled = [roles for roles in all_roles if sum(len(owned(r, PARTITIONS)) for r in roles) > 4]
    assert len(doubled) > 50
    assert len(set(all_roles)) > 10
    assert {replicas for roles in all_roles for replicas, _ in roles} == {1, 2, 3, 4}


@pytest.mark.parametrize("rounds", [1, 2, 5, 20])
def test_short_runs_have_their_rounds_too(rounds):
    schedule = plan(1, rounds, PARTITIONS)
    assert len(schedule.rounds) == rounds
    assert all(round_.harms for round_ in schedule.rounds)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_harms_of_a_round_concern_different_things(seed):
    for round_ in plan(seed, 100, PARTITIONS).rounds:
        things = [thing(harm.fault) for harm in round_.harms]
        assert len(set(things)) == len(things)


def test_rules_differ_from_revision_to_revision_and_pairs_fit_the_window():
    found = [rules_of(1, revision) for revision in range(1, 30)]
    assert found == [rules_of(1, revision) for revision in range(1, 30)]
    assert len({str({**one, "rules_revision": 0}) for one in found}) > 20
    assert all(one["pair_window_seconds"] <= one["label_window_seconds"] for one in found)
