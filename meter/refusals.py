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


def untimely(job: Job, in_future: bool, rules: Rules) -> Refusal:
    """A job completed after its record time, or too long before it."""
    if in_future:
        message = f"completed_at: {job.completed_at} is more than {rules.future_tolerance_s} s after the record time"
        return refuse(job, Code.IN_FUTURE, message)
    message = f"completed_at: {job.completed_at} is more than {rules.horizon_days} days before the record time"
    return refuse(job, Code.TOO_OLD, message)
