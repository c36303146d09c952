# make demo    environment, embedded data, stages 1 and 2, evaluation, figures (minutes on 2 cores)
# make test    all tests          make lint   ruff and mypy          make table   comparison with the baselines (hours)
# make clean   remove the embedded data and the demo's runs; your own runs stay
#
# Every target sets up .venv by itself.  A target that was broken off goes on where it stood.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python
NAME := make_demo
STAGE_1 := runs/enc_dec/$(NAME)
STAGE_2 := runs/pose/$(NAME)
DATA := data/synthetic/ready
SEEDS ?= 0 1
WEIGHTS := models/assets/open_weights.pt
go_on = $(if $(wildcard $(1)/checkpoint_last.pt),--loop.resume,--loop.overwrite)

.PHONY: demo test table lint clean env
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(STAGE_1)/trained $(STAGE_1)/embeddings.pkl $(STAGE_2)/trained
	$(RUN) sample/test_enc_dec.py --checkpoint $(STAGE_1)/checkpoint_best.pt
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt
	$(RUN) sample/make_figures.py --enc-dec $(STAGE_1) --pose $(STAGE_2) --folder runs/figures --prefix demo_
	@echo "The same with the weights that come with the repository ($(WEIGHTS)):"
	$(RUN) sample/test_enc_dec.py --checkpoint $(WEIGHTS) --out runs/enc_dec/open_weights
	$(RUN) sample/test_pose.py --checkpoint $(WEIGHTS) --out runs/pose/open_weights
	$(RUN) sample/test_pose.py --checkpoint $(WEIGHTS) --out runs/pose/open_weights --centre masks
	$(RUN) sample/make_figures.py --enc-dec runs/enc_dec/open_weights --pose runs/pose/open_weights --folder runs/figures --prefix open_weights_

table: $(STAGE_1)/trained
	$(RUN) sample/label_curve.py --encoders $(STAGE_1)/checkpoint_best.pt --seeds $(SEEDS)

test: .venv/ready_dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not gpu" --numprocesses auto --dist loadfile

lint: .venv/ready_dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy config.py utils models dataset_def

clean:
	rm -rf data/synthetic $(STAGE_1) $(STAGE_2) runs/figures .mypy_cache .pytest_cache .ruff_cache

env: .venv/ready

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=...")'
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ready_dev: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

$(DATA): | .venv/ready
	$(RUN) dataset_def/synthetic/make_h36m.py
	$(RUN) dataset_def/h36m_preprocess.py
	$(RUN) dataset_def/h36m_get_background.py
	touch $@

$(STAGE_1)/trained: $(DATA)
	$(RUN) sample/train_enc_dec.py --name $(NAME) $(call go_on,$(STAGE_1))
	touch $@

$(STAGE_1)/embeddings.pkl: $(STAGE_1)/trained
	$(RUN) sample/save_embeddings.py --checkpoint $(STAGE_1)/checkpoint_best.pt

$(STAGE_2)/trained: $(STAGE_1)/trained
	$(RUN) sample/train_3d_pose_from_enc.py --encoder $(STAGE_1)/checkpoint_best.pt --name $(NAME) $(call go_on,$(STAGE_2))
	touch $@
