# make demo         environment, embedded data, figures of the committed weights, then all four stages trained here, with
#                   evaluation, figures, reports: stage 1 without a label, bodies off masks, joints, prior, bodies
# make shown        as far as the figures of the committed weights
# make test         all tests but the slow ones         make lint          ruff and mypy
# make table        recipes of stage 2 by the labels that they read, on 45 drawn people of its own (a day on 2 cores)
# make mesh_table   stage 4 with and without each loss
# make own CLIPS=clips/ CALIBRATION=Calib.toml     from your own cameras' clips to bodies, trained stages, a network for
#                   one view and a report; OWN="--video-size letterboxed" and so on adds settings
# make help         these lines                         make env           the environment alone, in .venv
# make clean        remove the embedded data and the demo's runs; your own runs stay
#
# Every target sets up .venv by itself.  A target that was broken off goes on where it stood.

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python
NAME := demo
STAGE_1 := runs/enc_dec/$(NAME)
VIEWS := runs/enc_dec/$(NAME)_views
STAGE_2 := runs/pose/$(NAME)
STAGE_3 := runs/gan/$(NAME)
STAGE_4 := runs/mesh/$(NAME)
FITS := runs/fit/$(NAME)
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(min(2, len(os.sched_getaffinity(0))))')
# Stage 2 in so many processes, one thread each: small layers gain nothing from a second thread.  The others are shared
# out over the cores: two trainings beside each other are quicker than each on two cores, as their batches are small.
TRAIN := $(BIN)/torchrun --standalone --nproc-per-node $(PROCESSES)
RECIPE := --name $(NAME) --optim.bf16 --loop.threads 1
STEPS_1 ?= 5000
STEPS_2 ?= 3600
STEPS_VIEWS ?= 1500
STEPS_4 ?= 600
DATA := data/synthetic/ready
# people without labels beside S5 to S8, one sub-action each: looks of their own are what new people ask for
MORE := $(shell seq 121 132)
PEOPLE := --subjects.train 1 5 6 7 8 $(MORE)
SEEDS ?= 0 1
WEIGHTS := models/assets/open_weights.pt
POSE_WEIGHTS := models/assets/open_pose.pt
BODY_WEIGHTS := models/assets/open_body_maps.pt
PRIOR_WEIGHTS := models/assets/open_prior.pt
# people of the table: who trains (S1 has labels), who chooses checkpoints, who is tested
TABLE := data/table
TRAINED := 1 5 6 7 8 $(shell seq 121 147)
CHOOSERS := 111 112 113 114
TESTED := 9 11 101 102 103 104 105 106
TABLE_PEOPLE := --subjects.train $(TRAINED) --subjects.test $(TESTED)
STEPS_TABLE ?= 16000
go_on = $(if $(wildcard $(1)/checkpoint_last.pt),--loop.resume,--loop.overwrite)

ifndef BESIDE
.NOTPARALLEL:
endif
.PHONY: help demo shown tested first last table mesh_table own test lint clean env
.DELETE_ON_ERROR:

demo: shown tested
	$(RUN) sample/make_figures.py --enc-dec $(VIEWS) --pose $(STAGE_2) --gan $(STAGE_3) --mesh $(STAGE_4) --prefix demo_
	$(RUN) sample/report.py $(STAGE_1)
	$(RUN) sample/report.py $(VIEWS)
	$(RUN) sample/report.py $(STAGE_2)
	$(RUN) sample/report.py $(STAGE_3)
	$(RUN) sample/report.py $(STAGE_4)

shown: $(DATA)
	@echo "First, what the weights that come with the repository (models/assets) make of the test subjects."
	$(RUN) sample/test_enc_dec.py --checkpoint $(WEIGHTS) --max-pairs 600 --out runs/enc_dec/open_weights
	$(RUN) sample/test_pose.py --checkpoint $(POSE_WEIGHTS) --every 4 --out runs/pose/open_weights
	$(RUN) sample/test_SMPL.py --checkpoint $(BODY_WEIGHTS) --prior $(PRIOR_WEIGHTS) --every 8 --out runs/mesh/open_weights
	$(RUN) sample/make_figures.py --enc-dec runs/enc_dec/open_weights --pose runs/pose/open_weights --mesh runs/mesh/open_weights --prefix open_weights_
	@echo "Look at runs/figures/open_weights_*.png.  Now the four stages are trained here; each says after its first steps about how long it takes."

tested: first $(STAGE_2)_points/trained $(STAGE_2)/trained last
	$(RUN) sample/test_enc_dec.py --checkpoint $(VIEWS)/checkpoint_best.pt --max-pairs 600
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)_points/checkpoint_best.pt --every 4
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt --centre pelvis --every 4
	$(RUN) sample/test_pose.py --checkpoint $(STAGE_2)/checkpoint_best.pt --centre box --every 4
	$(RUN) sample/test_GAN.py --checkpoint $(STAGE_3)/checkpoint_best.pt
	$(RUN) sample/test_SMPL.py --checkpoint $(STAGE_4)/checkpoint_best.pt --prior $(STAGE_3)/checkpoint_best.pt --every 2

table: $(TABLE)/stage_1 $(TABLE)/fits
	$(RUN) sample/tools/label_curve.py --dataset $(TABLE) $(TABLE_PEOPLE) --subjects.validation $(CHOOSERS) --seeds $(SEEDS) \
	  --stage-1 runs/enc_dec/table/checkpoint_best.pt --fits runs/fit/table/pseudo_labels.npz

mesh_table: $(DATA)
	$(RUN) sample/tools/mesh_ablation.py --encoder $(WEIGHTS) --prior $(PRIOR_WEIGHTS) --seeds $(SEEDS)

own: .venv/ready_keypoints
	@test -n "$(CLIPS)" && test -n "$(CALIBRATION)" || { echo "name both: make own CLIPS=clips/ CALIBRATION=Calib.toml"; exit 2; }
	$(RUN) sample/tools/own_recording.py $(CLIPS) --calibration $(CALIBRATION) $(OWN)

test: .venv/ready_dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not gpu" --numprocesses auto --dist loadfile

lint: .venv/ready_dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy config.py utils models dataset_def

clean:
	rm -rf data/synthetic data/poses $(STAGE_1) $(VIEWS) $(STAGE_2) $(STAGE_2)_points $(STAGE_3) $(STAGE_4) $(FITS) runs/figures runs/*/open_weights .mypy_cache .pytest_cache .ruff_cache

env: .venv/ready

help:  # the head of this file
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=...")'
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ready_keypoints: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[keypoints]"
	$(RUN) dataset_def/photos/person.py
	touch $@

.venv/ready_dev: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

$(DATA): | .venv/ready
	$(RUN) dataset_def/synthetic/make_h36m.py
	$(RUN) dataset_def/synthetic/make_h36m.py --subactions 1 --subjects $(MORE)
	$(RUN) dataset_def/h36m_preprocess.py
	$(RUN) dataset_def/h36m_get_background.py
	touch $@

$(STAGE_1)/trained: $(DATA)
	@echo "Stage 1 of 4: points that turn as people do, taught by views and masks; no label."
	$(RUN) sample/train_enc_dec.py $(RECIPE) $(PEOPLE) --optim.steps $(STEPS_1) --in-memory $(call go_on,$(STAGE_1))
	touch $@

$(STAGE_1)/embeddings.pkl: $(STAGE_1)/trained
	$(RUN) sample/save_embeddings.py --checkpoint $(STAGE_1)/checkpoint_best.pt

$(STAGE_2)_points/trained: $(STAGE_1)/embeddings.pkl
	@echo "Stage 2 of 4, first as in the paper: joints of S1 read off the stored points of stage 1."
	$(RUN) sample/train_3d_pose_from_enc.py --preset views --encoder $(STAGE_1)/checkpoint_best.pt --mode embeddings --embeddings $(STAGE_1)/embeddings.pkl \
	  --name $(NAME)_points $(call go_on,$(STAGE_2)_points)
	touch $@

$(FITS)/pseudo_labels.npz: | $(DATA)
	@echo "Bodies off the masks of all but S1, whose joints are not read: labels for stages 2 and 4."
	$(RUN) sample/fit_SMPL.py --subjects 5 6 7 8 $(MORE) --name $(NAME) --processes 1

$(STAGE_2)/trained: $(STAGE_1)/trained $(FITS)/pseudo_labels.npz
	@echo "Stage 2 of 4: joints found in the image, all layers of stage 1 trained on S1's joints and those bodies'."
	$(TRAIN) sample/train_3d_pose_from_enc.py --encoder $(STAGE_1)/checkpoint_best.pt $(RECIPE) $(PEOPLE) --optim.steps $(STEPS_2) --batch 48 --in-memory \
	  --encoder-lr-factor 1 --pseudo-labels $(FITS)/pseudo_labels.npz $(call go_on,$(STAGE_2))
	touch $@

first: $(DATA)
	@$(MAKE) --no-print-directory BESIDE=1 --jobs $(PROCESSES) $(STAGE_1)/trained $(STAGE_3)/trained $(FITS)/pseudo_labels.npz

last: $(STAGE_2)/trained
	@$(MAKE) --no-print-directory BESIDE=1 --jobs $(PROCESSES) $(STAGE_4)/trained $(VIEWS)/trained

$(VIEWS)/trained: $(STAGE_1)/trained
	@echo "Behind stage 1: what draws novel views of its points, which stay as they are."
	$(RUN) sample/train_enc_dec.py --preset novel_views --start-from $(STAGE_1)/checkpoint_best.pt --name $(NAME)_views $(PEOPLE) \
	  --optim.bf16 --optim.steps $(STEPS_VIEWS) --loop.threads 1 $(call go_on,$(VIEWS))
	touch $@

$(TABLE)/ready: | .venv/ready
	$(RUN) dataset_def/synthetic/make_h36m.py --dataset $(TABLE)
	$(RUN) dataset_def/synthetic/make_h36m.py --dataset $(TABLE) --subactions 1 --subjects $(wordlist 6,99,$(TRAINED)) $(CHOOSERS) $(wordlist 3,99,$(TESTED))
	$(RUN) dataset_def/h36m_preprocess.py --dataset $(TABLE) --pack-px 160 --pack-side-m 3.5
	$(RUN) dataset_def/h36m_get_background.py --dataset $(TABLE)
	touch $@

$(TABLE)/stage_1: $(TABLE)/ready
	$(RUN) sample/train_enc_dec.py --dataset $(TABLE) $(TABLE_PEOPLE) --name table --encoder.points 48 --teaching.ropes.at 0.6 --optim.bf16 \
	  --optim.steps $(STEPS_TABLE) $(call go_on,runs/enc_dec/table)
	touch $@

$(TABLE)/fits: $(TABLE)/ready
	$(RUN) sample/fit_SMPL.py --dataset $(TABLE) --name table --subjects $(wordlist 2,99,$(TRAINED)) --people.test $(TESTED) --every 2
	touch $@

$(STAGE_3)/trained: | .venv/ready
	@echo "Stage 3 of 4: the prior."
	$(RUN) sample/train_GAN.py --name $(NAME) --loop.threads 1 $(call go_on,$(STAGE_3))
	touch $@

$(STAGE_4)/trained: $(STAGE_2)/trained $(STAGE_3)/trained
	@echo "Stage 4 of 4: bodies."
	$(RUN) sample/train_SMPL_from_enc.py --encoder $(STAGE_2)/checkpoint_best.pt --prior $(STAGE_3)/checkpoint_best.pt $(RECIPE) $(PEOPLE) \
	  --optim.steps $(STEPS_4) --in-memory --pseudo-labels $(FITS)/pseudo_labels.npz $(call go_on,$(STAGE_4))
	touch $@
