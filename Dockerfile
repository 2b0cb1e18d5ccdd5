# One image for every service: `docker compose build`. Nothing runs as root, every Python package is pinned by hash and
# comes as a wheel; compose.yaml says how it is run. Two things are compiled: the innermost loops of the detectors, and the
# broker's plugin that names who logs in, which `cityvigil broker` lends to Mosquitto. That one uses no C library, as
# Mosquitto's image has another one.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install -q --require-hashes -r requirements-build.lock
RUN python3 -m venv /opt/cityvigil \
    && /opt/cityvigil/bin/python -m pip install -q --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml LICENSE ./
COPY cityvigil cityvigil
COPY schemas schemas
COPY detectors detectors
COPY ingest ingest
COPY streams streams
COPY dispatch dispatch
COPY simulators simulators
RUN apt-get update \
    && apt-get install -y -q --no-install-recommends gcc libc6-dev mosquitto-dev libmosquitto-dev \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir /opt/cityvigil/lib/python3.11/site-packages/.mosquitto \
    && cc -std=c99 -Wall -Wextra -Werror -O2 -shared -fPIC -nostdlib -fno-stack-protector \
        -o /opt/cityvigil/lib/python3.11/site-packages/.mosquitto/log_in_names.so cityvigil/log_in_names.c
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
    && /opt/cityvigil/bin/python -m pip install -q --no-index --no-deps /tmp/wheel/*.whl \
    && /opt/cityvigil/bin/python -m detectors.ready

FROM python:3.11.14-slim-bookworm
RUN groupadd --system --gid 10001 cityvigil \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/cityvigil --shell /usr/sbin/nologin cityvigil \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/cityvigil /var/lib/cityvigil/mosquitto
COPY --from=build /opt/cityvigil /opt/cityvigil
ENV PATH=/opt/cityvigil/bin:$PATH PYTHONUNBUFFERED=1 CITYVIGIL_DATA=/var/lib/cityvigil
USER 10001:10001
WORKDIR /var/lib/cityvigil
ENTRYPOINT ["cityvigil"]
CMD ["--help"]
