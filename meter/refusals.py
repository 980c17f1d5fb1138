"""The refusals of jobs that could be read: what they say."""

from meter.intake import Job
from meter.rejects import Code, Refusal
from meter.rules import Rules


def refuse(job: Job, code: Code, message: str) -> Refusal:
    """A job that could be read, and is not metered."""
    return Refusal(code, message, job.account_id, job.job_id, job.region, job.duration_ms, job.completed_us)


def conflict(job: Job) -> Refusal:
    """The id of a job that was metered, with other content."""
    return refuse(job, Code.CONFLICT, f"job {job.job_id!r} was metered before with other content")


def clock_ahead(job: Job, record_time: int, not_after: int) -> Refusal:
    """A job whose record was stamped by a broker whose clock was ahead: nothing can be judged by its record time."""
    ahead_s = (record_time - not_after) // 1000
    message = f"the broker stamped the record {ahead_s} s later than any clock could say: its own was ahead"
    return refuse(job, Code.CLOCK_AHEAD, message)


def untimely(job: Job, in_future: bool, rules: Rules) -> Refusal:
    """A job completed after its record time, or too long before it."""
    if in_future:
        message = f"completed_at: {job.completed_at} is more than {rules.future_tolerance_s} s after the record time"
        return refuse(job, Code.IN_FUTURE, message)
    message = f"completed_at: {job.completed_at} is more than {rules.horizon_days} days before the record time"
    return refuse(job, Code.TOO_OLD, message)
