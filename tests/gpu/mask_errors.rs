//! What is wrong with a mask: its size, its place, its kind; and steps rebound to other masks.

use testkit::gpu::{gpu, part, values, whole};
use testkit::layer::{descriptor, layer, read_state};
use testkit::masks::Masked;
use testkit::plans::paths;
use testkit::random::{state, tensor};
use wgpu_batchnorm::wgpu::Buffer;
use wgpu_batchnorm::{
    Backward, BatchNorm, BindingError, Evaluation, ForwardStep, Mask, MaskKind, PrepareError, Shape, Tensor,
    Training,
};

const SHAPE: fn() -> Shape = || Shape::channels_first(5, 8, &[9]);

struct Setup {
    norm: BatchNorm,
    buffers: [Buffer; 4],
}

impl Setup {
    fn new() -> Self {
        let x = tensor(SHAPE(), 951);
        Self { norm: layer(&descriptor(8), &state(8, 952)), buffers: [(); 4].map(|()| gpu().upload(&x)) }
    }

    fn training(&self) -> Training<'_> {
        Training::new(whole(&self.buffers[0]), whole(&self.buffers[1]))
    }

    fn prepare(&self, mask: Mask<'_>) -> Result<ForwardStep, PrepareError> {
        self.norm.prepare_training(SHAPE(), self.training().mask(mask))
    }

    fn backward(&self) -> Backward<'_> {
        Backward::of(whole(&self.buffers[2])).input_gradient(whole(&self.buffers[3]))
    }
}

#[test]
fn masks_have_a_size_and_a_place() {
    let (setup, small, large) = (Setup::new(), gpu().empty(1), gpu().empty(200));
    let error = |mask| setup.prepare(mask).unwrap_err();
    // 45 bits, and 5 lengths.
    for (tensor, mask, required) in [
        (Tensor::Mask, Mask::Positions(whole(&small)), 8),
        (Tensor::Lengths, Mask::Lengths(whole(&small)), 20),
    ] {
        let too_small = BindingError::TooSmall { tensor, required, given: 4 };
        assert_eq!(error(mask), PrepareError::Binding(too_small));
    }
    let PrepareError::Binding(BindingError::Misaligned { tensor: Tensor::Mask, given: 4, .. }) =
        error(Mask::Positions(part(&large, 4, 0)))
    else {
        panic!("required an error of the offset")
    };
    let own = setup.norm.weight().unwrap();
    assert_eq!(error(Mask::Lengths(own)), PrepareError::LayersOwn { tensor: Tensor::Lengths });
    let overlap =
        |first, second| PrepareError::Binding(BindingError::Overlap { first, second, in_place: false });
    let y = whole(&setup.buffers[1]);
    assert_eq!(error(Mask::Positions(y)), overlap(Tensor::Mask, Tensor::Output));
    // What is only read may be anything else, too.
    setup.prepare(Mask::Positions(whole(&setup.buffers[0]))).unwrap();
    setup.prepare(Mask::Positions(part(&large, 256, 8))).unwrap();
    let evaluation = Evaluation::new(whole(&setup.buffers[0]), whole(&setup.buffers[1]));
    let evaluation = evaluation.mask(Mask::Lengths(whole(&small)));
    let error = setup.norm.prepare_evaluation(SHAPE(), evaluation).unwrap_err();
    let too_small = BindingError::TooSmall { tensor: Tensor::Lengths, required: 20, given: 4 };
    assert_eq!(error, PrepareError::Binding(too_small));
    // dx over the mask that backward reads.
    let step = setup.prepare(Mask::Positions(whole(&setup.buffers[3]))).unwrap();
    let error = setup.norm.prepare_backward(&step, setup.backward()).unwrap_err();
    assert_eq!(error, overlap(Tensor::Mask, Tensor::InputGradient));
}

#[test]
fn masks_have_a_kind() {
    let (setup, words) = (Setup::new(), gpu().upload(&[f32::from_bits(9); 5]));
    let mut lengths = setup.prepare(Mask::Lengths(whole(&words))).unwrap();
    let other = |required, given| PrepareError::OtherMask { required, given };
    let (of_lengths, of_positions) = (Some(MaskKind::Lengths), Some(MaskKind::Positions));
    let positions = || Mask::Positions(whole(&words));
    let error = lengths.rebind(&setup.norm, setup.training().mask(positions())).unwrap_err();
    assert_eq!(error, other(of_lengths, of_positions));
    assert!(error.to_string().contains("one of lengths is required"), "{error}");
    let mut plain = setup.norm.prepare_training(SHAPE(), setup.training()).unwrap();
    let error = plain.rebind(&setup.norm, setup.training().mask(positions())).unwrap_err();
    assert_eq!(error, other(None, of_positions));
    let error = setup.norm.prepare_backward(&plain, setup.backward().mask(positions())).unwrap_err();
    assert_eq!(error, other(None, of_positions));
    // A backward may have a copy of the other kind; then it is of that.
    let mut back = setup.norm.prepare_backward(&lengths, setup.backward().mask(positions())).unwrap();
    assert_eq!(back.plan().work().mask, of_positions);
    let error = back.rebind(&setup.norm, &lengths, setup.backward()).unwrap_err();
    assert_eq!(error, other(of_positions, of_lengths));
    back.rebind(&setup.norm, &lengths, setup.backward().mask(positions())).unwrap();
}

/// What a step and its backward leave: y, the running mean, dx.
fn run(setup: &Setup, steps: [&dyn wgpu_batchnorm::Step; 2]) -> [Vec<f32>; 3] {
    setup.norm.set_state(&gpu().queue, &state(8, 952)).unwrap();
    gpu().run(|pass| steps.iter().for_each(|step| step.record(pass))).unwrap();
    [values(&setup.buffers[1]), read_state(&setup.norm).running_mean, values(&setup.buffers[3])]
}

#[test]
fn rebound_steps_keep_their_mask_or_take_another() {
    let masks = [1, 2].map(|seed| Masked::random_lengths(SHAPE(), seed));
    let words = masks.each_ref().map(Masked::upload);
    for plan in paths() {
        let setup = Setup::new();
        let fresh = |k: usize| {
            let training = setup.training().mask(masks[k].whole(&words[k])).plan(plan);
            let step = setup.norm.prepare_training(SHAPE(), training).unwrap();
            let back = setup.norm.prepare_backward(&step, setup.backward().plan(plan)).unwrap();
            (step, back)
        };
        let want = [0, 1].map(|k| {
            let (step, back) = fresh(k);
            run(&setup, [&step, &back])
        });
        assert!(want[0] != want[1]);
        let (mut step, mut back) = fresh(0);
        step.rebind(&setup.norm, setup.training()).unwrap();
        back.rebind(&setup.norm, &step, setup.backward()).unwrap();
        assert!(run(&setup, [&step, &back]) == want[0], "[{plan}]: the mask stays");
        step.rebind(&setup.norm, setup.training().mask(masks[1].whole(&words[1]))).unwrap();
        back.rebind(&setup.norm, &step, setup.backward()).unwrap();
        assert!(run(&setup, [&step, &back]) == want[1], "[{plan}]: another mask");
        back.rebind(&setup.norm, &step, setup.backward().mask(masks[0].whole(&words[0]))).unwrap();
        let mixed = run(&setup, [&step, &back]);
        assert!(mixed[0] == want[1][0] && mixed[2] != want[1][2], "[{plan}]: a mask of backward's own");
    }
}
