//! What is to be seen of a network: histograms and norms.

use batchnorm_experiments::kernels::BINS;

use super::{BENCH, assert_close, random};

#[test]
fn histograms_count_every_value_once() {
    let t = &*BENCH;
    let reach = 2.0;
    for len in [1usize, 255, 256, 5000] {
        let mut x: Vec<f32> = random(40, len).iter().map(|v| 3.0 * v).collect();
        x[0] = f32::INFINITY;
        let (values, counts) = (t.upload(&x), t.upload(&[7u32; BINS as usize]));
        t.run(&t.kernels.histogram(reach, values.binding(), counts.binding()));
        let mut want = vec![0u32; BINS as usize];
        for v in &x {
            let place = (v * BINS as f32 / (2.0 * reach) + BINS as f32 / 2.0).clamp(0.0, BINS as f32 - 0.5);
            want[place as usize] += 1;
        }
        assert_eq!(t.download::<u32>(&counts), want, "{len} values");
    }
}

#[test]
fn sums_of_squares_go_to_their_slots() {
    let t = &*BENCH;
    for len in [1usize, 256, 3001] {
        let x = random(50, len);
        let (values, sums) = (t.upload(&x), t.upload(&[-1.0f32; 3]));
        t.run(&t.kernels.squares(1, values.binding(), sums.binding()));
        let want: f64 = x.iter().map(|&v| f64::from(v).powi(2)).sum();
        let got: Vec<f32> = t.download(&sums);
        assert_eq!([got[0], got[2]], [-1.0; 2]);
        assert_close(&got[1..2], &[want], 1e-6);
    }
}
