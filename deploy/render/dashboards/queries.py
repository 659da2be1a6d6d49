"""The forms that expressions of the dashboards take."""

from deploy.render.dashboards.panels import Query


def rate(metric: str, by: str = "", factor: str = "") -> str:
    """Return a counter's growth a second, summed."""
    return f"{_sum(by)}(rate({metric}[$__rate_interval])){factor}"


def share(part: str, whole: str, by: str = "") -> str:
    """Return which share of a counter's growth a part of it is; 0 where that part was never seen."""
    return f"({rate(part, by)} or 0 * {rate(whole, by)}) / ({rate(whole, by)} > 0)"


def quantile(share: float, histogram: str, by: str = "", matching: str = "") -> str:
    """Return the value below which this share of the observations lies."""
    labels = ", ".join(filter(None, [by, "le"]))
    buckets = f"rate({histogram}_bucket{matching}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({labels}) ({buckets}))"


def quantiles(histogram: str, matching: str = "") -> list[Query]:
    """Return the median and what 95 and 99 of 100 observations stay below."""
    return [
        Query(quantile(part, histogram, matching=matching), f"{part * 100:.0f} %")
        for part in (0.5, 0.95, 0.99)
    ]


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
