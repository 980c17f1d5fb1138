# The meter alone, for use with a Kafka of its own: see docker-compose.yml.
FROM python:3.11-slim

WORKDIR /opt/meter
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY meter meter
COPY streams streams
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && useradd --system meter && install --directory --owner meter /data

USER meter
WORKDIR /data
# The dedupe index: lost with the container unless it is a volume, and then read back from usage.priced.
ENV METER_DATA_DIR=/data
VOLUME /data
ENTRYPOINT ["meter"]
