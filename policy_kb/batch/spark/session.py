"""The session of Spark that a batch runs in: the one that `spark-submit` gives, or one on this machine."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_kb.batch.spark.dialect import SETTINGS
from policy_kb.diagnostics import CaseRefused, Diagnostic, Kind
from policy_kb.source import NOWHERE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_PARTITIONS = "spark.sql.shuffle.partitions"
_BYTES_OF_PARTITION = 32 * 2**20
"""Bytes of input, packed as Parquet packs them, that one task has in hand."""


def needs_spark() -> None:
    """Refuse where PySpark, which is an extra, or the Java that it needs is not installed. Raises CaseRefused."""
    from importlib.util import find_spec

    if find_spec("pyspark") is None:
        raise _refused("batches on Spark need PySpark, which is not installed",
                       "install it: pip install 'policy-kb[spark]'")
    if "PYSPARK_GATEWAY_PORT" not in os.environ and _java() is None:
        raise _refused("Spark needs Java, which is not found", "install Java 17 or later, or set JAVA_HOME to it")


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")


def _refused(message: str, hint: str) -> CaseRefused:
    return CaseRefused([Diagnostic(Kind.NOT_INSTALLED, NOWHERE, message, hint)])


def open_session() -> SparkSession:
    """The session that is there, or a new one: where it runs, and with how much, is said by `spark-submit` or Spark's
    own configuration, and is this machine otherwise. Raises CaseRefused where Spark does not start."""
    needs_spark()
    from pyspark import SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    # What goes wrong is said once, by what is raised.
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "py4j"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._active_spark_context is not None:
        return fresh(SparkSession.builder.getOrCreate())
    # The workers on this machine are to be what this program is.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    package = str(Path(__file__).resolve().parents[3])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if package not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([package, *filter(None, paths)])
    with tempfile.TemporaryFile() as log:
        try:
            _start(log.fileno())
            return fresh(SparkSession.builder.appName("policy-kb").getOrCreate())
        except (PySparkException, OSError, RuntimeError) as problem:
            log.seek(0)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
            said = next((line for line in lines if "Exception" in line or "Error" in line), str(problem))
            raise _refused(f"Spark does not start: {said[:200]}",
                           "check Java (17 or later), and Spark's configuration") from None


def _start(log: int) -> None:
    """Start Spark's Java, which tells of its start on the standard error, unless that is put elsewhere."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    # The driver's heap is set as Java starts, later settings come too late; where Spark's configuration names one,
    # that one counts.
    conf = SparkConf(loadDefaults=False)
    conf.set("spark.log.level", "ERROR").set("spark.ui.showConsoleProgress", "false")
    conf.set("spark.ui.enabled", "false")
    launch: Callable[..., Any] = launch_gateway
    gateway = launch(conf, popen_kwargs={"stderr": log})
    SparkContext(conf=SparkConf(_jvm=gateway.jvm).setAppName("policy-kb"), gateway=gateway)


def fresh(session: SparkSession) -> SparkSession:
    """A session with this program's settings and no views, which shares what is kept in memory with the other one."""
    new = session.newSession()
    for setting, value in SETTINGS.items():
        new.conf.set(setting, value)
    partitions = session.conf.get(_PARTITIONS)
    if partitions is not None:
        new.conf.set(_PARTITIONS, partitions)
    return new


def divide(session: SparkSession, size: int) -> None:
    """Choose how many parts an input of so many bytes is divided into, unless Spark's configuration says so."""
    context = session.sparkContext
    if not context.getConf().contains(_PARTITIONS):
        session.conf.set(_PARTITIONS, str(max(2 * context.defaultParallelism, -(-size // _BYTES_OF_PARTITION))))
