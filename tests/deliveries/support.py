"""Lets time pass for the sample of messages."""

from __future__ import annotations

from otp_gateway.store.client import RedisClient
from otp_gateway.store.deliveries import SAMPLE_AGE_MINUTES
from otp_gateway.store.keys import delivery_sample


def make_due(store: RedisClient) -> None:
    """Let the messages of the present minutes be of the minute whose sample is due."""
    minute = int(store.time()[0]) // 60
    for each in (minute - 1, minute):
        members = store.zrevrangebyscore(
            delivery_sample(each), "+inf", "-inf", start=0, num=100, withscores=True
        )
        if members:
            pipeline = store.pipeline(transaction=True)
            for late in (minute, minute + 1):
                name = delivery_sample(late - SAMPLE_AGE_MINUTES)
                pipeline.zadd(name, {member: int(score) for member, score in members}, gt=True)
                pipeline.expire(name, 600)
            pipeline.execute()
