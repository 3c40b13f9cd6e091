//! Gradients of whole networks against finite differences of their losses.

use std::sync::LazyLock;

use batchnorm_experiments::gpu::Gpu;
use batchnorm_experiments::kernels::{Activation, Step};
use batchnorm_experiments::network::{Dropout, DropoutPlace, Linear, Loss, Mode, Network, Normalization};
use batchnorm_experiments::pass::Pass;
use batchnorm_experiments::tensor::Tensor;
use testkit::gpu::download;
use wgpu_batchnorm::Convention;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("these tests need an adapter"));

const ROWS: u32 = 11;
const INPUTS: u32 = 5;
const OUTPUTS: u32 = 3;

fn values(len: u32, seed: u32) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
}

fn layers(hidden: [u32; 2]) -> Vec<Linear> {
    let layer = |inputs: u32, outputs: u32| Linear {
        inputs,
        outputs,
        weight: values(inputs * outputs, inputs + outputs),
        bias: values(outputs, 3),
    };
    vec![layer(INPUTS, hidden[0]), layer(hidden[0], hidden[1]), layer(hidden[1], OUTPUTS)]
}

fn read(tensor: &Tensor) -> Vec<f32> {
    download(&GPU.device, &GPU.queue, tensor.binding())
}

fn loss_now(pass: &Pass) -> f64 {
    GPU.submit(|encoder| {
        let mut compute = encoder.begin_compute_pass(&Default::default());
        pass.forward(&mut compute);
        pass.backward(&mut compute);
    });
    f64::from(read(&pass.losses)[0])
}

#[track_caller]
fn check(network: &Network, loss: Loss, what: &str) {
    let pass = network.prepare(ROWS, Mode::Probe, 1).unwrap();
    pass.inputs.write(&GPU.queue, &values(ROWS * INPUTS, 4));
    match loss {
        Loss::MeanSquared => pass.targets.write(&GPU.queue, &values(ROWS * OUTPUTS, 5)),
        Loss::CrossEntropy => {
            pass.targets.write(&GPU.queue, &(0..ROWS).map(|row| row % OUTPUTS).collect::<Vec<_>>());
        }
    }
    pass.set(&GPU, Step { seed: 5, ..Default::default() });
    loss_now(&pass);
    let gradients: Vec<Vec<f32>> = pass.gradients.iter().map(read).collect();
    let mut compared = 0;
    for ((binding, len), gradient) in network.parameters().into_iter().zip(&gradients) {
        let parameter = Tensor { buffer: binding.buffer.clone(), offset: binding.offset, len };
        let before = read(&parameter);
        // A few of each tensor; zeros are the gaps between the tensors of the first.
        let learned = (0..len as usize).filter(|&i| gradient[i] != 0.0);
        for i in learned.step_by((len as usize / 50).max(5)) {
            let h = 0.02f32;
            let at = |shift: f32| {
                let mut moved = before.clone();
                moved[i] += shift;
                parameter.write(&GPU.queue, &moved);
                loss_now(&pass)
            };
            // Fourth order: the step must be wide, for float32 losses.
            let (near, far) = (at(h) - at(-h), at(2.0 * h) - at(-2.0 * h));
            let difference = (8.0 * near - far) / (12.0 * f64::from(h));
            let error = (difference - f64::from(gradient[i])).abs();
            assert!(
                error < 2e-5 + 1e-3 * difference.abs(),
                "{what}, value {i} of {len}: {} instead of {difference}",
                gradient[i]
            );
            compared += 1;
        }
        parameter.write(&GPU.queue, &before);
    }
    assert!(compared > 20, "only {compared} gradients were compared");
}

#[test]
fn of_every_normalization() {
    // Parts of 64 features lie at offsets that every device can bind.
    let (small, aligned) = ([7, 6], [64, 64]);
    for (normalization, loss, hidden) in [
        (Normalization::None, Loss::MeanSquared, small),
        (Normalization::BATCH, Loss::MeanSquared, small),
        (Normalization::BATCH, Loss::CrossEntropy, small),
        (Normalization::AfterActivation(Convention::PyTorch), Loss::MeanSquared, small),
        (Normalization::Noisy, Loss::CrossEntropy, small),
        (Normalization::VirtualBatches(4), Loss::MeanSquared, small),
        (Normalization::MicroBatches(4), Loss::MeanSquared, aligned),
        (Normalization::LAYER, Loss::MeanSquared, small),
        (Normalization::Groups(2), Loss::MeanSquared, [8, 6]),
    ] {
        let network = Network::new(&GPU, &layers(hidden), Activation::Sigmoid, normalization, loss).unwrap();
        check(&network, loss, &format!("{normalization:?}, {loss:?}"));
    }
}

#[test]
fn of_dropout_at_every_place() {
    for place in [DropoutPlace::BeforeNormalization, DropoutPlace::EachLayer, DropoutPlace::LastLayer] {
        let (layers, loss) = (layers([16, 16]), Loss::MeanSquared);
        let network = Network::new(&GPU, &layers, Activation::Sigmoid, Normalization::BATCH, loss).unwrap();
        let dropout = Dropout { share: 0.3, place };
        check(&network.with_dropout(Some(dropout)), loss, &format!("{dropout:?}"));
    }
}
