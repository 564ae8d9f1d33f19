"""How long each stage took is noted, whoever shows it."""

from fathom.core.progress import Silent, Timed


def test_stages_are_timed_and_passed_on():
    now = [100.0]
    inner = Silent()
    timed = Timed(inner, before=2.0, clock=lambda: now[0])
    now[0] += 1.0
    timed.stage("reading")
    now[0] += 4.0
    timed.stage("training")
    now[0] += 8.0
    timed.say("Something.")
    assert timed.seconds == {"starting": 3.0, "reading": 4.0, "training": 8.0}
    timed.stage("reading")  # a stage that comes back goes on
    now[0] += 16.0
    assert timed.seconds == {"starting": 3.0, "reading": 20.0, "training": 8.0}
    assert inner.sentences == ["Something."]
