//! What is fused into a kernel, as far as its WGSL differs by it.

use std::fmt::Write as _;

use super::role::Role;
use crate::plan::{Activation, CustomActivation, Kernel, PreActivation, Work};

/// An activation without its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Function {
    #[default]
    Identity,
    Relu,
    LeakyRelu,
    Silu,
    Gelu,
    Custom(CustomActivation),
}

impl From<Activation> for Function {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Identity => Self::Identity,
            Activation::Relu => Self::Relu,
            Activation::LeakyRelu { .. } => Self::LeakyRelu,
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::Custom(custom) => Self::Custom(custom),
        }
    }
}

impl Function {
    /// Those whose WGSL stands in shaders/epilogue.
    pub const FILES: [Self; 4] = [Self::Relu, Self::LeakyRelu, Self::Silu, Self::Gelu];

    /// The file in shaders/epilogue, which has a function of this name, and one of its gradient; a word for names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky_relu",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::Custom(_) => "custom",
        }
    }

    /// Whether y has the sign of what it is given, and the derivative depends on this sign alone.
    pub fn keeps_sign(self) -> bool {
        matches!(self, Self::Relu | Self::LeakyRelu)
    }

    /// `activate` and `activation_gradient`, as kernels call them.
    fn functions(self, quad: &str) -> String {
        let (value, gradient) = match self {
            Self::Identity => ("v".into(), "g".into()),
            Self::Custom(custom) => return functions_of(custom, quad),
            _ => (format!("{}(v)", self.name()), format!("{}_gradient(v, g)", self.name())),
        };
        format!(
            "fn activate(v: Quad) -> Quad {{ return {value}; }}\n\
             fn activation_gradient(v: Quad, g: Quad) -> Quad {{ return {gradient}; }}\n"
        )
    }
}

/// The caller's bodies in functions of a number, and these for a Quad.
fn functions_of(CustomActivation { value, derivative }: CustomActivation, quad: &str) -> String {
    let each = |function: &str| match quad {
        "f32" => format!("{function}(v)"),
        _ => format!("{quad}({})", ["x", "y", "z", "w"].map(|at| format!("{function}(v.{at})")).join(", ")),
    };
    format!(
        "fn custom_value(v: f32) -> f32 {{\n{value}\n}}\n\
         fn custom_derivative(v: f32) -> f32 {{\n{derivative}\n}}\n\
         fn activate(v: Quad) -> Quad {{ return {}; }}\n\
         fn activation_gradient(v: Quad, g: Quad) -> Quad {{ return g * {}; }}\n",
        each("custom_value"),
        each("custom_derivative"),
    )
}

/// What is fused into a kernel: the activation, and the tensors that it binds beyond those that it always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Fused {
    pub function: Function,
    /// z is read: to be added, or to recompute what the activation was given.
    pub residual: bool,
    /// Backward reads y for the sign of what the activation was given.
    pub by_sign: bool,
    /// Backward writes dz.
    pub residual_gradient: bool,
    /// Backward writes no dx.
    pub without_dx: bool,
    /// A mask says which values are valid.
    pub masked: bool,
    /// Features without finite statistics are skipped and counted.
    pub guarded: bool,
    /// A flag of the caller's decides that running statistics move.
    pub commits: bool,
}

impl Fused {
    /// What the work fuses into a kernel, with what makes no difference to it left out.
    pub fn of(work: &Work, kernel: Kernel) -> Self {
        let row = kernel.row();
        let beside = Self {
            masked: work.mask.is_some() && row.takes(Role::Mask),
            guarded: work.guard && row.takes(Role::Skipped),
            commits: work.commit && row.takes(Role::Commit),
            ..Self::default()
        };
        if !row.takes(Role::Residual) {
            return beside;
        }
        let function = Function::from(work.epilogue.activation);
        if !work.op.is_backward() {
            return Self { function, residual: work.epilogue.residual, ..beside };
        }
        let writes = row.writes_gradients();
        let by = work.finds_by();
        Self {
            function,
            residual: by == Some(PreActivation::Recomputed) && work.epilogue.residual,
            by_sign: by == Some(PreActivation::SignOfOutput),
            residual_gradient: writes && work.gives_residual_gradient().is_some(),
            without_dx: writes && !work.op.applies(),
            ..beside
        }
    }

    /// Whether WGSL of the caller's is part of it.
    pub fn is_custom(&self) -> bool {
        matches!(self.function, Function::Custom(_))
    }

    /// Whether backward makes what the activation was given anew.
    fn recomputes(&self) -> bool {
        self.function != Function::Identity && !self.by_sign
    }

    /// Whether the kernel binds this one of its row's optional tensors.
    pub fn binds(&self, role: Role) -> bool {
        match role {
            Role::Input => self.recomputes(),
            Role::Residual => self.residual,
            Role::Output => self.by_sign,
            Role::ResidualGradient => self.residual_gradient,
            Role::InputGradient => !self.without_dx,
            Role::Mask => self.masked,
            Role::Skipped => self.guarded,
            Role::Commit => self.commits,
            _ => false,
        }
    }

    /// Activations that may be fused into a kernel, and what else may be, each beside the other to be tried: those that are
    /// possible together say so by [`Fused::is_of`].
    pub fn choices(kernel: Kernel) -> (Vec<Function>, Vec<Self>) {
        let plain = Self::default();
        let (row, residual) = (kernel.row(), Self { residual: true, ..plain });
        let functions = [Function::Identity].into_iter().chain(Function::FILES).collect();
        let reads = [plain, residual, Self { by_sign: true, ..plain }];
        let writes = |reads: Self| {
            let with_dz = Self { residual_gradient: true, ..reads };
            [reads, with_dz, Self { without_dx: true, ..with_dz }]
        };
        match () {
            () if !row.takes(Role::Residual) => (vec![Function::Identity], vec![plain]),
            () if row.writes_gradients() => (functions, reads.into_iter().flat_map(writes).collect()),
            () if row.item.is_some_and(|item| item.name == "Sums") => (functions, reads.to_vec()),
            () => (functions, vec![plain, residual]),
        }
    }

    /// Whether a kernel with this is one that [`Fused::of`] gives.
    pub fn is_of(&self, kernel: Kernel) -> bool {
        let identity = self.function == Function::Identity;
        let reads = identity || self.by_sign || self.residual;
        !kernel.is_backward()
            || ((!self.by_sign || self.function.keeps_sign())
                && !(identity && self.residual)
                && (!self.residual_gradient || reads))
    }

    /// The file of shaders/ with the activation.
    pub fn file(&self) -> Option<&'static str> {
        Function::FILES.contains(&self.function).then(|| self.function.name())
    }

    /// What the kernel's files want to know of it.
    pub fn declarations(&self, quad: &str) -> String {
        let mut text = String::new();
        for (name, value) in [
            ("ACTIVATES", self.function != Function::Identity),
            ("RECOMPUTES", self.recomputes()),
            ("RESIDUAL", self.residual),
            ("RESIDUAL_GRADIENT", self.residual_gradient),
            ("MASKED", self.masked),
            ("GUARDED", self.guarded),
        ] {
            let _ = writeln!(text, "const {name} = {value};");
        }
        text + &self.function.functions(quad)
    }

    /// What the variant's name says of it; nothing where nothing is fused.
    pub fn name(&self) -> String {
        let mut name = String::new();
        if self.function != Function::Identity {
            name += &format!("_{}", self.function.name());
        }
        for (is, word) in [
            (self.by_sign, "_by_sign"),
            (self.residual, "_residual"),
            (self.residual_gradient, "_dz"),
            (self.without_dx, "_without_dx"),
            (self.masked, "_masked"),
            (self.guarded, "_guarded"),
            (self.commits, "_commits"),
        ] {
            name += if is { word } else { "" };
        }
        name
    }
}
