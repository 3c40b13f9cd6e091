//! A second device beside the first.

use burn::module::Module;
use burn::tensor::Device;
use burn_batchnorm::BatchNormConfig;

use crate::inputs::another;
use crate::support::{device, normal, ours, step, tensor, values};

const AXES: [usize; 4] = [4, 5, 3, 3];

fn second() -> Device {
    let setup = another();
    let device = Device::wgpu_options().setup(setup.clone()).init().unwrap();
    burn_batchnorm::share(&device, &setup).unwrap();
    device.autodiff()
}

#[test]
fn a_layer_on_a_second_device_gives_the_same_bits() {
    let len = AXES.iter().product();
    let (x, dy) = (normal(len, 61, 1.0), normal(len, 62, 0.0));
    let run = |device: &Device| {
        let norm = ours(&BatchNormConfig::new(5), device);
        let results = step(|x| norm.forward(x), [&norm.gamma, &norm.beta], AXES, &x, &dy);
        (results, values(norm.running_var.value_sync()))
    };
    assert_eq!(run(&second()), run(&device()));
}

#[test]
fn a_layer_is_forked_and_moved_to_a_second_device() {
    let (second, len) = (second(), AXES.iter().product());
    let norm = ours(&BatchNormConfig::new(5), &device());
    norm.forward(tensor(&normal(len, 63, 1.0), AXES, &device()));
    norm.running_mean.value_sync();
    norm.running_var.value_sync();
    let x = normal(len, 64, 1.0);
    let train = |norm: &burn_batchnorm::BatchNorm, device: &Device| {
        let y = values(norm.forward(tensor(&x, AXES, device)));
        (y, values(norm.running_mean.value_sync()), values(norm.running_var.value_sync()))
    };
    // Copies share their running statistics, as burn's do: a record makes one of its own.
    let fresh = |device: &Device| {
        let record = norm.clone().into_record();
        ours(&BatchNormConfig::new(5), device).load_record(record)
    };
    let want = train(&fresh(&device()), &device());
    let forked = fresh(&device()).fork(&second);
    assert_eq!(forked.devices(), std::slice::from_ref(&second));
    assert_eq!(train(&forked, &second), want);
    let moved = fresh(&device()).to_device(&second);
    assert_eq!(train(&moved, &second), want);
}
