"""Reads the delivery status of a sample of messages in the background, for the metrics."""

from __future__ import annotations

from otp_gateway.errors import SendFailed, StoreUnavailable
from otp_gateway.observer import Observer
from otp_gateway.senders.kavenegar.codes import state_label
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.store.deliveries import DeliverySamples


class DeliveryWatch:
    """One call to the provider in a minute, over all workers and hosts, about the sample that is due."""

    def __init__(self, samples: DeliverySamples, reports: KavenegarReports, observer: Observer) -> None:
        self._samples = samples
        self._reports = reports
        self._observer = observer

    def look(self) -> None:
        """Read the status of the sample that is due, if no other worker does so."""
        try:
            sample = self._samples.take()
        except StoreUnavailable:
            # The requests log that Redis is unavailable.
            return
        if not sample:
            return
        try:
            states = self._reports.states([each.number for each in sample])
        except SendFailed:
            # The metrics of the provider's errors show this. The next minute has another sample.
            return
        for each in sample:
            if each.number in states:
                self._observer.delivery(each.prefix, state_label(states[each.number]))
