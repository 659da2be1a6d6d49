"""The state machine of workflows against a broker and workers that do anything they may."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leadline_common.broker.port import Message
from leadline_common.ids import new_id
from leadline_contracts.inbound import OUTPUTS, StepFinished, StepName, WorkflowEnded
from leadline_results.workflows.machine import (
    MAX_HISTORY,
    MAX_TRIES,
    StepStatus,
    Workflow,
    apply,
    begin,
    retry,
)
from leadline_results.workflows.messages import Cause, messages_after, step_request
from leadline_results.workflows.step_timeouts import on_timeout

from .builders import START
from .workflow_builders import ANSWERS, REFUSED, SOURCE, accepted, asked

C, P, F, N, S = (
    StepStatus.COMPLETED,
    StepStatus.PROCESSING,
    StepStatus.FAILED,
    StepStatus.NOT_STARTED,
    StepStatus.SKIPPED,
)
LEGAL = {
    "processing": [[P, N, N], [C, P, N], [C, C, P]],
    "completed": [[C, C, C]],
    "failed": [[F, S, S], [C, F, S], [C, C, F]],
}
KINDS = ("valid", "other", "invalid", "error")


def check_legal(workflow: Workflow) -> None:
    """Fail unless everything in the workflow agrees with everything else."""
    steps = [workflow.steps[name] for name in StepName]
    assert [step.status for step in steps] in LEGAL[workflow.status]
    assert (workflow.sweep_at is not None) == (workflow.status == "processing")
    assert (workflow.category is not None) == (steps[0].status is C)
    assert (workflow.queue is not None) == (workflow.priority is not None) == (steps[2].status is C)
    assert workflow.history[-1].status is workflow.status
    assert len(workflow.history) <= MAX_HISTORY
    for name, step in workflow.steps.items():
        assert (step.output is not None) == (step.status is C)
        assert (step.error is not None) == (step.status is F)
        assert (step.started_at is not None) == (step.status in {C, P, F})
        assert (step.finished_at is not None) == (step.status in {C, F})
        assert step.tries <= MAX_TRIES
        assert step.attempts >= step.tries
        if step.output is not None:
            OUTPUTS[name].validate_python(step.output)


class WorkflowMachine(RuleBasedStateMachine):
    """One workflow; messages are delivered in any order, several times, or lost, in any part of it."""

    @initialize()
    def accept(self) -> None:
        """A message is let in; whether the first step's message is published is left to `deliver_again`."""
        self.now = START
        self.accepted = accepted()
        self.workflow = begin(self.accepted, self.now)
        self.causes: list[Cause] = [self.accepted]
        self.answers: list[StepFinished] = []
        self.asked: list[Message] = []
        self.bodies: dict[str, bytes] = {}
        self.outputs: dict[tuple[int, StepName], Any] = {}

    @rule(again=st.randoms(use_true_random=False), lost=st.booleans())
    def deliver_again(self, again: Any, lost: bool) -> None:
        """A cause that came before comes again, as after a crash; it changes nothing."""
        cause = again.choice(self.causes)
        if isinstance(cause, StepFinished):
            assert apply(self.workflow, cause, self.now) is self.workflow
        self.publish(messages_after(self.workflow, cause), lost=lost)

    @precondition(lambda self: self.asked)
    @rule(pick=st.randoms(use_true_random=False), kind=st.sampled_from(KINDS))
    def work(self, pick: Any, kind: str) -> None:
        """A worker answers a step's message, however old; the message may be worked on again."""
        self.answers.append(answer_to(pick.choice(self.asked), kind))

    @precondition(lambda self: self.answers)
    @rule(pick=st.randoms(use_true_random=False), lost=st.booleans())
    def deliver(self, pick: Any, lost: bool) -> None:
        """An answer comes; what it leads to may get lost."""
        self.take(pick.choice(self.answers), lost=lost)

    @precondition(lambda self: self.asked)
    @rule()
    def lose_steps(self) -> None:
        """Every message of a step is gone."""
        self.asked.clear()

    @rule(minutes=st.integers(0, 120), busy=st.booleans(), lost=st.booleans())
    def time_passes(self, minutes: int, busy: bool, lost: bool) -> None:
        """Time goes by, and the step timeouts are handled once."""
        self.now += timedelta(minutes=minutes)
        self.look(busy=busy, lost=lost)

    @precondition(lambda self: self.workflow.failed_step)
    @rule(lost=st.booleans())
    def retry(self, lost: bool) -> None:
        """Somebody asks for another try."""
        self.workflow = retry(self.workflow, self.now)
        self.publish([step_request(self.workflow)], lost=lost)

    @invariant()
    def is_legal(self) -> None:
        """Every state on the way is a legal one."""
        if hasattr(self, "workflow"):
            check_legal(self.workflow)

    @invariant()
    def keeps_outputs(self) -> None:
        """What a step has answered never changes again, within its epoch or after."""
        if not hasattr(self, "workflow"):
            return
        for name, step in self.workflow.steps.items():
            if step.output is not None:
                first = self.outputs.setdefault((self.workflow.epoch, name), step.output)
                assert step.output == first
                assert step.output == self.outputs.get((self.workflow.epoch - 1, name), step.output)

    def teardown(self) -> None:
        """Once messages are delivered again, the step timeouts alone bring every workflow to its end."""
        if not hasattr(self, "workflow"):
            return
        for _ in range(3 * (MAX_TRIES + 1)):
            if self.workflow.ended:
                break
            assert self.workflow.sweep_at is not None
            self.now = max(self.now, self.workflow.sweep_at)
            self.asked.clear()
            self.look(busy=False, lost=False)
            for message in self.asked:
                self.take(answer_to(message, "valid"), lost=False)
        assert self.workflow.ended

    def take(self, finished: StepFinished, *, lost: bool) -> None:
        """Apply an answer and publish what it leads to."""
        self.workflow = apply(self.workflow, finished, self.now)
        self.causes.append(finished)
        self.publish(messages_after(self.workflow, finished), lost=lost)

    def look(self, *, busy: bool, lost: bool) -> None:
        """Do what the handling of step timeouts does."""
        if self.workflow.sweep_at and self.workflow.sweep_at <= self.now:
            outcome = on_timeout(self.workflow, busy, self.now)
            self.workflow = outcome.change.after
            self.publish([outcome.message] if outcome.message else [], lost=lost)

    def publish(self, messages: list[Message], *, lost: bool) -> None:
        """Take in what was published; the same id always means the same content."""
        for message in messages:
            assert self.bodies.setdefault(message.id, message.body) == message.body
            if lost:
                continue
            if message.type == StepFinished.TYPE:
                self.take(StepFinished.decode(message.body), lost=False)
            elif message.type != WorkflowEnded.TYPE:
                assert asked(message).step is self.workflow.current
                self.asked.append(message)


def answer_to(message: Message, kind: str) -> StepFinished:
    """What a worker says to a step's message: one of two valid answers, an invalid one, or an error."""
    step = asked(message)
    output: dict[str, Any] = {**ANSWERS[step.step]}
    if kind == "other":
        output |= dict.fromkeys({"confidence"} & output.keys(), 0.1)
    elif kind == "invalid":
        output |= {"surprise": new_id()}
    error = REFUSED if kind == "error" else None
    ref = {name: getattr(step, name) for name in ("owner", "workflow_id", "step", "epoch", "deadline")}
    return StepFinished(**ref, output=None if error else output, error=error, source=SOURCE)


TestWorkflowMachine = WorkflowMachine.TestCase
TestWorkflowMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
