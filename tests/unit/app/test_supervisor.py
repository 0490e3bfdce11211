"""When a worker that has died is started again."""

from asynctasq.app.supervisor import Restarts


def test_the_delay_doubles_with_each_quick_death_up_to_its_cap():
    restarts = Restarts(first=1, most=30)
    assert [restarts.delay(deaths) for deaths in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_the_delay_stays_at_its_cap_for_ever():
    assert Restarts(most=30).delay(10**6) == 30
