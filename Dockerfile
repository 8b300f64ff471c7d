# docker build -t cpm-avs .                  # torch as the package index has it, for CUDA on Linux
# docker build -t cpm-avs --build-arg TORCH_INDEX_URL=... .    # PyTorch's index of CPU wheels, or CUDA's
# docker run --rm -v "$PWD:/work" cpm-avs demo clip.mp4        # with a GPU: --gpus all
# docker run --rm -p 7860:7860 cpm-avs app --host 0.0.0.0 --port 7860
# docker run --rm --init --shm-size 1g -v "$PWD:/work" cpm-avs corpus videos --out results
FROM python:3.11-slim
ARG TORCH_INDEX_URL=
ARG EXTRAS=demo,corpus
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# By itself, for it has gigabytes and stays the same while the code changes.
COPY constraints.txt .
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY . .
# OpenCV without a display goes in last: mmcv and mmdet bring the other, which owns the same folder.
RUN pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]" \
 && pip uninstall -y opencv-python opencv-python-headless \
 && pip install --no-cache-dir -c constraints.txt --no-deps opencv-python-headless
WORKDIR /work
ENTRYPOINT ["cpm-avs"]
CMD ["--help"]
