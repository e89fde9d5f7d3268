"""PEER WORKER FOLDER [METHOD/PAIR ...]: trains the same students with both, and compares.

What is right is what the peer computes in float64. What float32 allows is measured: the peer trains in float32,
too, once from the same weights and once from weights that are off by a unit in the last place here and there.
A loss may be off by ten times what theirs were so far, relative to its size, and a tensor by ten times what
theirs are, relative to how far training moved it."""
import contextlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import torch

peer, worker, folder = sys.argv[1:4]
sys.path.insert(0, peer)
import train  # noqa: E402 (of the peer)
from kdpeer import data, run, weights  # noqa: E402

METHODS = {
    'kd': (['--method', 'kd'], {'kind': 'kd'}),
    'dkd': (['--method', 'dkd', '--dkd-beta', '8'], {'kind': 'dkd', 'beta': 8}),
    'dist': (['--method', 'dist'], {'kind': 'dist'}),
    'reviewkd': (['--method', 'reviewkd'], {'kind': 'reviewkd'}),
}
PAIRS = {'narrow': ('resnet14', 'resnet8'), 'projector': ('resnet8x4', 'resnet8')}
WEIGHT, ND_WEIGHT, LR, EPOCHS, BATCH = 0.5, 2, 0.02, 2, 32
# Ten times what float32 was seen to do, but not less than it may: among millions of values before a ReLU a few lie
# within rounding of 0, and kernels that round differently switch them, which shows from the third step on.
TIMES, MOST = 10, 5e-2
LEAST_LOSS, LEAST_LATER, LEAST_TENSOR = 1e-5, 5e-4, 5e-3


def path(*parts):
    return os.path.join(folder, *parts)


def write_images():
    """CIFAR-10's files: the last batch of an epoch is a short one."""
    os.makedirs(path('data'))
    parts = [('data_batch_%d.bin' % i, 21, i) for i in range(1, 6)] + [('test_batch.bin', 40, 6)]
    for name, n, part in parts:
        x, y = data.synthetic(n, 10, 1, part)
        np.concatenate((y[:, None].astype(np.uint8), x.reshape(n, -1)), 1).tofile(path('data', name))


def engine(command, name, job):
    with open(path(name + '.json'), 'w') as f:
        json.dump(job, f)
    subprocess.run([worker, command, path(name + '.json'), '--out', path(name)], check=True, stdout=subprocess.DEVNULL)


def job_of(teacher, student, losses):
    return {'kind': 'distill' if losses else 'train', 'name': 'peer', 'student': {'model': student, 'projector_dropout': 0},
            'data': {'source': 'cifar10:' + path('data'), 'shuffle': False, 'augment': {'pad_crop': 0, 'hflip': False}},
            'optimizer': {'lr': LR}, 'schedule': {'milestones': [EPOCHS - 1]},
            'train': {'epochs': EPOCHS, 'batch': BATCH, 'lanes': 1},
            **({'losses': losses, 'teacher': {'model': teacher, 'weights': path(teacher, 'student.safetensors')}}
               if losses else {})}


def parameters(name, step):
    """Of a checkpoint of ours under the peer's names: all that is trained, and running statistics."""
    tensors = weights.load(path(name, 'checkpoints', 'step-%09d.safetensors' % step))[0]
    return {k.partition('/')[2].replace('projector.', 'fc1.'): v for k, v in tensors.items()
            if k.startswith(('param/', 'buffer/'))}


def head(state):
    return {k: v for k, v in state.items() if k.startswith(('fc1.', 'abfs.'))}


def first_weights(name, job):
    """What a seed starts from, by a step of next to no length; running statistics as they begin."""
    engine('train', name, dict(job, optimizer={'lr': 1e-30}, train=dict(job['train'], epochs=1, max_steps=1)))
    state = parameters(name, 1)
    for k, v in state.items():
        if k.endswith(('running_mean', 'running_var')):
            v.fill_(float(k.endswith('var')))
    return state


def nudged(state, seed):
    draw = np.random.default_rng(seed)
    return {k: v if 'running' in k else
            torch.from_numpy(np.nextafter(v.numpy(), draw.choice(np.float32([-np.inf, np.inf, 0]), v.shape))) for k, v in state.items()}


@contextlib.contextmanager
def double():
    """The peer computes in float64, on the images that float32 has."""
    finish, single = data.Images._finish, torch.Tensor.float
    data.Images._finish = lambda self, x: single(torch.from_numpy(x)).mul_(self.scale).add_(self.shift).double()
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    data.Images._finish, torch.Tensor.float = finish, single


def run_peer(name, teacher, student, state, options):
    """Losses of every step and the last weights."""
    weights.save(path('init.safetensors'), {k: v for k, v in state.items() if k not in head(state)})
    plain = run.student_of

    def with_heads(*args):
        net = plain(*args)
        wanted = {k for k in head(net.state_dict()) if not k.endswith('num_batches_tracked')}
        if wanted != set(head(state)):
            raise SystemExit('other heads: %s' % sorted(wanted ^ set(head(state))))
        net.load_state_dict(head(state), strict=False)
        return net

    run.student_of = with_heads
    sys.argv = ['train.py', '--data', 'cifar10:' + path('data'), '--no-augment', '--no-shuffle', '--dropout', '0',
                '--teacher', teacher, '--student', student, '--student-weights', path('init.safetensors'),
                '--epochs', str(EPOCHS), '--batch', str(BATCH), '--lr', str(LR), '--milestones', str(EPOCHS - 1),
                '--ramp', '0', '--log-every', '1', '--out', path(name)] + options
    with contextlib.redirect_stdout(io.StringIO()):
        status = train.main()
    run.student_of = plain
    if status:
        raise SystemExit('the peer ended with status %d' % status)
    with open(path(name, 'metrics.jsonl')) as f:
        rows = [r for r in map(json.loads, f) if 'step' in r and not {'seconds', 'final'} & set(r)]
    state = weights.read(path(name, 'last.safetensors'))
    if os.path.exists(path(name, 'heads.safetensors')):
        state.update(weights.read(path(name, 'heads.safetensors')))
    return {k: [r[k] for r in rows] for k in ('ce', 'kd', 'nd') if k in rows[0]}, state


def our_losses(name, kinds):
    with open(path(name, 'metrics.jsonl')) as f:
        rows = [json.loads(line) for line in f]
    return {theirs: [r['value'] for r in rows if r['name'] == 'loss_raw/' + ours and r['split'] == 'train']
            for theirs, ours in kinds.items()}


def off(a, b, size):
    return float(np.linalg.norm(np.float64(a) - np.float64(b)) / max(np.linalg.norm(np.float64(size)), 1e-30))


def told(got, deviation, least, where):
    """How much of what is allowed a deviation takes."""
    allowed = min(MOST, max(least, TIMES * deviation))
    return got / allowed, 'off by %.1e of %.1e, %s' % (got, allowed, where)


def worst_loss(ours, theirs, others):
    found = (0, '')
    for kind, want in theirs.items():
        so_far = 0
        if len(ours[kind]) != len(want):
            raise SystemExit('%d values of %s, the peer has %d' % (len(ours[kind]), kind, len(want)))
        for step, w in enumerate(want):
            so_far = max([so_far] + [off(o[kind][step], w, w) for o in others])
            found = max(found, told(off(ours[kind][step], w, w), so_far, LEAST_LOSS if step < 2 else LEAST_LATER,
                                    '%s at step %d' % (kind, step + 1)))
    return found


def worst_tensor(ours, theirs, others, first):
    found = (0, '')
    for k, w in theirs.items():
        if k.endswith('num_batches_tracked'):
            continue
        moved = w - first[k]
        deviation = max(off(o[k], w, moved) for o in others)
        found = max(found, told(off(ours[k], w, moved), deviation, LEAST_TENSOR, k))
    return found


def compare(name, method, pair, nd):
    teacher, student = PAIRS[pair]
    options, loss = METHODS[method]
    losses = [{'kind': 'ce'}, dict(loss, weight=WEIGHT)] + ([{'kind': 'nd', 'weight': ND_WEIGHT}] if nd else [])
    job = job_of(teacher, student, losses)
    options = options + ['--teacher-weights', path(teacher, 'student.safetensors'), '--kd-weight', str(WEIGHT)]
    kinds = {'ce': 'ce', 'kd': method}
    first = first_weights(name + '-first', job)
    engine('train', name, job)
    if nd:
        kinds['nd'] = 'nd'
        with open(path('means.json'), 'w') as f:
            json.dump({str(k): row for k, row in enumerate(means_of(name).tolist())}, f)
        options += ['--nd-weight', str(ND_WEIGHT), '--class-means-in', path('means.json')]
    with double():
        theirs, last = run_peer(name + '-peer', teacher, student, first, options)
    others = [run_peer('%s-peer%d' % (name, k), teacher, student, nudged(first, k) if k else first, options) for k in (0, 1)]
    got = parameters(name, len(theirs['ce']))
    loss_ratio, loss = worst_loss(our_losses(name, kinds), theirs, [o[0] for o in others])
    ratio, tensor = worst_tensor(got, last, [o[1] for o in others], first)
    print('%-21s losses %s; weights %s' % (name, loss, tensor), flush=True)
    return loss_ratio <= 2 and ratio <= 1  # two runs tell a run's spread no better: see shared_runs.sh


def means_of(name):
    return weights.load(path(name, 'class_means.safetensors'))[0]['mean']


def same_class_means(teacher):
    """Both compute them by themselves."""
    name = teacher + '-means'
    engine('class-means', name, dict(job_of(teacher, None, [1]), kind='class_means', student=None, losses=[]))
    sys.argv = ['train.py', '--data', 'cifar10:' + path('data'), '--teacher', teacher, '--student', 'resnet8', '--epochs', '0',
                '--teacher-weights', path(teacher, 'student.safetensors'), '--class-means-out', path('theirs.json'), '--out', path('none')]
    with contextlib.redirect_stdout(io.StringIO()):
        train.main()
    with open(path('theirs.json')) as f:
        error = max(off(means_of(name)[int(k)], mean, mean) for k, mean in json.load(f).items())
    print('class means of %s: off by %.1e' % (teacher, error))
    return error <= 2e-5


def main():
    wanted, ok = sys.argv[4:], True
    write_images()
    for teacher in sorted({t for t, _ in PAIRS.values()}):
        engine('train', teacher, job_of(teacher, teacher, None))
        ok &= same_class_means(teacher)
    for pair in PAIRS:
        for method in METHODS:
            for nd in (False, True) if pair == 'narrow' else (True,):  # a projector is there for ND
                name = '%s%s-%s' % (method, '++' if nd else '', pair)
                if not wanted or name in wanted:
                    ok &= compare(name, method, pair, nd)
    sys.exit(not ok)


main()
