# docker build -t fst .                                                    a CPU (x86-64)
# docker build -t fst --build-arg TENSORFLOW=tensorflow .                  a CPU of another kind
# docker build -t fst:gpu --build-arg "TENSORFLOW=tensorflow[and-cuda]" .  an NVIDIA GPU
#
# One stage: all packages come as wheels, so that there is no compiler to leave behind.
FROM python:3.11-slim

ARG TENSORFLOW=tensorflow-cpu
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="fst" \
      org.opencontainers.image.description="Fast style transfer for TensorFlow and Keras" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    KERAS_HOME=/keras

# Of the requirements .dockerignore lets through those of use here. TENSORFLOW takes the place of the
# package's name, and the range stays. TensorFlow's C++ headers, 290 MB, are for building kernels.
WORKDIR /app
COPY requirements*.txt ./
RUN sed -i "s/^tensorflow>/${TENSORFLOW}>/" requirements.txt \
    && cat requirements*.txt > /tmp/all.txt \
    && pip install --no-cache-dir --disable-pip-version-check -r /tmp/all.txt \
    && rm -r /tmp/all.txt /usr/local/lib/python3.11/site-packages/tensorflow/include

# Whatever the user's number (docker run --user), what Keras downloads can be kept in /keras.
RUN useradd --uid 1000 --no-create-home fst \
    && mkdir -m 1777 /keras
COPY . .
RUN mkdir runs \
    && chown -R fst checkpoints runs \
    && ln -s /app/container/fst.sh /usr/local/bin/fst
USER 1000

VOLUME ["/keras"]
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "/app/container/healthcheck.py"]
ENTRYPOINT ["fst"]
CMD ["help"]
