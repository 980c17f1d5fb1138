"""Figures, days and instants of the console by a language's own rules; its messages are in `streams.http.languages`.

A figure is formatted from its exact decimal and never cut.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta, get_timezone_name
from babel.numbers import format_decimal
from markupsafe import Markup

from meter.money import decimal_text
from meter.regions import REGIONS, ZONES
from streams.http.languages import NAMES


@dataclass(frozen=True)
class LocaleFormat:
    """How one language writes figures, days and instants, in the billing time zone."""

    language: str
    zone: ZoneInfo

    @property
    def locale(self) -> Locale:
        """Babel's locale."""
        return Locale.parse(NAMES[self.language][1])

    def count(self, value: int) -> str:
        """A whole number with its groups."""
        return format_decimal(value, locale=self.locale)

    def money(self, value: Decimal, places: int = 2) -> Markup:
        """CNY, exactly. Digits that are missing to `places` are kept free, so that columns stand under each other."""
        exact = decimal_text(value)
        digits = len(exact.partition(".")[2])
        with localcontext(prec=len(exact)):  # Babel quantizes by the context that holds, which may have too few digits
            text = format_decimal(Decimal(exact), format=f"#,##0.{'0' * digits}", locale=self.locale)
        sign = text.replace("-", "\u2212")  # a minus that is as wide as a digit
        missing = places - digits
        pad = Markup(' data-pad="{}"').format("0" * missing) if missing > 0 else ""
        size = next((name for least, name in _LONG if len(sign) >= least), "")
        return Markup('<span class="money{}"{}>{}</span>').format(size, pad, sign)

    def day(self, value: str | date) -> str:
        """A billing day, with its weekday."""
        return format_date(_date(value), "EEE d MMM y" if self.language == "en" else "full", self.locale)

    def short_day(self, value: str | date) -> str:
        """A billing day in a chart."""
        return format_date(_date(value), "d MMM" if self.language == "en" else "M月d日", self.locale)

    def period(self, value: str) -> str:
        """A billing period: a day, or a month."""
        if len(value) == 7:
            return format_date(_date(f"{value}-01"), "MMMM y" if self.language == "en" else "y年M月", self.locale)
        return format_date(_date(value), "d MMM y" if self.language == "en" else "y年M月d日", self.locale)

    def instant(self, value: datetime) -> Markup:
        """An instant, to the minute. It may take two lines, of the date and of the time, and never more."""
        pattern = "d MMM y, HH:mm" if self.language == "en" else "y年M月d日 HH:mm"
        day, _, time = format_datetime(value, pattern, tzinfo=self.zone, locale=self.locale).rpartition(" ")
        return Markup('<span class="nowrap">{}</span> <span class="nowrap">{}</span>').format(day, time)

    def iso(self, value: datetime) -> str:
        """An instant for programs, in the billing time zone."""
        return value.astimezone(self.zone).isoformat(timespec="seconds")

    def span(self, value: timedelta) -> str:
        """How long: the largest unit that fits."""
        text = format_timedelta(value, locale=self.locale, threshold=1.2)
        # In Chinese as all figures of the pages: apart from what they count.
        return re.sub(r"(?<=\d)(?=[\u4e00-\u9fff])", " ", text).replace("秒钟", "秒")

    def posting(self, book: str, amount: Decimal) -> Markup:
        """A posting of an entry: its amount with a sign, a credit below 0; in Chinese by its side, 借 or 贷."""
        if self.language == "en":
            return Markup("{} {}").format(book, self.money(amount))
        return Markup("{} {} {}").format("借" if amount > 0 else "贷", book, self.money(abs(amount)))

    @property
    def gap(self) -> str:
        """What stands between two sentences; a full stop of Chinese has its room already."""
        return " " if self.language == "en" else ""

    @property
    def zone_name(self) -> str:
        """The billing time zone: its name in the tz database, in Chinese what people call it."""
        if self.language == "en" or self.zone.key in {"UTC", "Etc/UTC"}:
            return self.zone.key
        return _ZONE_NAMES.get(self.zone.key) or get_timezone_name(self.zone, locale=self.locale)

    def region(self, code: str) -> str:
        """The name of a region; a zone, and what is unknown, is called as it is."""
        region = _REGIONS.get(code)
        if region is not None:
            return _REGIONS_ZH.get(code, region.chinese) if self.language == "zh" else region.english
        return _ZONES_ZH.get(code, code) if self.language == "zh" else code


def _date(value: str | date) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


#: Amounts of so many characters are set smaller where they stand large, so that none is broken or cut.
_LONG = ((19, " longer"), (13, " long"))
_REGIONS = {region.code: region for region in REGIONS}
#: What a bill calls a region where completions may say it shorter.
_REGIONS_ZH = {"ap-hongkong": "中国香港"}
_ZONES_ZH = dict(
    zip(ZONES, ("中国大陆", "硅谷、弗吉尼亚", "孟买、首尔、曼谷、中国香港、东京、法兰克福、新加坡"), strict=True)
)
#: What people say, where the locale data say it otherwise.
_ZONE_NAMES = {"Asia/Shanghai": "北京时间"}
