"""The address of a log names it, and may carry Kafka's options."""

import pytest

from leadline.records.errors import UsageError
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log


@pytest.mark.parametrize("url", ["", "kafka:", "kafka://", "http://host", "local:"])
def test_what_names_no_log_is_refused_with_the_setting(url):
    with pytest.raises(UsageError, match="log_url"):
        open_log(url, SystemClock())


def test_an_unknown_option_in_the_address_is_refused_by_name():
    with pytest.raises(UsageError, match="sasl_pasword"):
        open_log("kafka://127.0.0.1:9?sasl_pasword=x", SystemClock())


def test_a_security_option_in_the_address_reaches_the_client():
    with pytest.raises(UsageError, match="security_protocol"):
        open_log("kafka://127.0.0.1:9?security_protocol=PLAIN_TEXT", SystemClock())
