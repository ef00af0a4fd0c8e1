"""``flask otp send``, ``status`` and ``unlock``: one phone, from a shell."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress

import click
from flask.cli import AppGroup

from otp_gateway.checks.sms_backend import explain, unset_variables
from otp_gateway.cli import activity
from otp_gateway.cli.opening import demand_shared_store, open_for_phone, redis_fault
from otp_gateway.errors import SendFailed, StoreUnavailable
from otp_gateway.gateway import Gateway
from otp_gateway.messages import Message
from otp_gateway.model import Channel, PhoneNumber, Policy
from otp_gateway.store.activity import Entry
from otp_gateway.store.phone_state import PhoneState
from otp_gateway.support.reasons import outcome_words
from otp_gateway.support.sends import ListedSend, sends_of
from otp_gateway.support.times import Times
from otp_gateway.support.verdict import verdict
from otp_gateway.support.words import words_of

# In a shell, a number with blanks arrives as several words.
number = click.argument("number", nargs=-1, required=True)
WORDS = words_of("en")


def install(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    """Add the commands."""
    _install_send(otp, build)
    _install_status(otp, build)
    _install_unlock(otp, build)
    _install_forget_devices(otp, build)


def _install_send(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("send", with_appcontext=False)
    @number
    @click.option("--channel", type=click.Choice(["sms", "call"]), default="sms", show_default=True)
    def send(number: tuple[str, ...], channel: Channel) -> None:
        """Send a real message to NUMBER. Its code is not valid for a login.

        No limit applies to it, and it does not change the phone's own code.
        """
        gateway, phone = open_for_phone(build, number)
        if channel not in gateway.settings.channels:
            raise click.ClickException("Calls need KAVENEGAR_TEMPLATE.")
        if not gateway.backends.configured:
            unset = unset_variables(gateway.settings)
            raise click.ClickException(f"{', '.join(unset)} is not set.")
        code = gateway.codes.derive(phone, gateway.codes.propose(phone).nonce)
        try:
            with gateway.backends.delivery() as delivery:
                receipt = delivery.send(Message(phone, code, channel, secrets.randbits(62)))
        except SendFailed as error:
            sent = "Nothing was sent" if error.definite else "It may have been sent"
            raise click.ClickException(f"{sent}. {explain(error)}") from None
        handed = f"Handed over to {receipt.backend} for {phone.masked}"
        click.echo(f"{handed}, with the code {code}, which is not valid for a login.")
        if not gateway.settings.embedded:
            # The message can be sent without Redis.
            with suppress(StoreUnavailable):
                _note(gateway, "send", phone)


def _install_status(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("status", with_appcontext=False)
    @number
    def status(number: tuple[str, ...]) -> None:
        """Show what happens to the user of NUMBER now, and whether the codes were sent."""
        gateway, phone = open_for_phone(build, number)
        demand_shared_store(gateway)
        try:
            state = gateway.panel.states.phone(gateway.phone_pids(phone))
            muted = gateway.panel.muted_for(state)
        except StoreUnavailable as error:
            raise redis_fault(error) from None
        for line in _describe(gateway, phone, state, muted):
            click.echo(line)


def _install_unlock(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("unlock", with_appcontext=False)
    @number
    def unlock(number: tuple[str, ...]) -> None:
        """Give NUMBER its tries back, and clear its failed verifies of the last 24 h."""
        gateway, phone = open_for_phone(build, number)
        demand_shared_store(gateway)
        try:
            undo = gateway.panel.actions.unlock(gateway.codes.pid(phone))
            if undo:
                _note(gateway, "unlock", phone, undo=undo)
        except StoreUnavailable as error:
            raise redis_fault(error) from None
        click.echo(f"{phone.masked}: {'unlocked' if undo else 'nothing to unlock'}.")


def _install_forget_devices(otp: AppGroup, build: Callable[[], Gateway]) -> None:
    @otp.command("forget-devices", with_appcontext=False)
    @number
    def forget_devices(number: tuple[str, ...]) -> None:
        """Make the device tokens of NUMBER worthless: after a theft, or if a user asks for it.

        Sessions stay: the panel ends them.
        """
        gateway, phone = open_for_phone(build, number)
        demand_shared_store(gateway)
        try:
            gateway.panel.actions.forget_devices(gateway.phone_pids(phone))
            _note(gateway, "forget-devices", phone)
        except StoreUnavailable as error:
            raise redis_fault(error) from None
        click.echo(f"{phone.masked}: its devices are forgotten.")


def _note(gateway: Gateway, action: str, phone: PhoneNumber, undo: str = "") -> None:
    entry = Entry(
        operator=activity.operator(),
        action=action,
        masked=phone.masked,
        reference=".".join(gateway.phone_pids(phone)),
        undo=undo,
    )
    gateway.panel.activity.add(entry)


def _describe(gateway: Gateway, phone: PhoneNumber, state: PhoneState, muted: float) -> list[str]:
    policy = gateway.settings.policy
    first, *others = verdict(state, policy, WORDS, muted=muted)
    budget = state.failures
    lines = [
        f"{phone.masked}: {first.text}",
        *(f"  {sentence.text}" for sentence in others),
        f"  wrong tries      {state.tries} of {policy.max_attempts}",
        f"  failures, 24 h   {budget.failures} of {budget.most}"
        + (f", for {WORDS.left(budget.left)} more" if budget.failures else "")
        + f"; networks locked out: {len(state.locked_clients)}",
        f"  live sessions    {state.sessions}"
        + (f", under a former secret {state.former_sessions}" if state.former_sessions else ""),
    ]
    lines += [
        f"  sends, {_span(use.window.seconds):<9} {use.used} of {use.window.limit}" for use in state.windows
    ]
    return lines + _device_lane(state, policy) + _sends(gateway, state)


def _device_lane(state: PhoneState, policy: Policy) -> list[str]:
    """The lane of devices that have signed in before, if it holds data."""
    lane = state.device
    if lane is None:
        return []
    budget = lane.failures
    return [
        f"  devices          {WORDS('state.' + lane.state)}",
        f"    wrong tries    {lane.tries} of {policy.max_attempts}",
        f"    failures, 24 h {budget.failures} of {budget.most}"
        + (f", for {WORDS.left(budget.left)} more" if budget.failures else ""),
        *(
            f"    sends, {_span(use.window.seconds):<7} {use.used} of {use.window.limit}"
            for use in lane.windows
        ),
    ]


def _span(seconds: int) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _sends(gateway: Gateway, state: PhoneState) -> list[str]:
    words: dict[str, str] = {}
    sends = sends_of(state, gateway.settings.sms_timeout)
    if gateway.records.deliveries:
        with suppress(SendFailed):
            words = gateway.records.deliveries.at_once(sends)
    times = Times(gateway.settings.panel_zone, "en")
    return [
        f"  {times.moment(send.at)} {times.zone}  {send.channel}  {_outcome(send)}"
        + (f"; {words[send.id]}" if send.id in words else "")
        for send in sends
    ]


def _outcome(send: ListedSend) -> str:
    if send.outcome:
        return outcome_words(WORDS, send.outcome)
    return WORDS("outcome.in_progress" if send.in_progress else "outcome.unknown")
