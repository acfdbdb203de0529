//! ONNX files of a few hundred bytes, written by hand for tests: the few fields of the format
//! (`onnx.proto` of github.com/onnx/onnx) that a graph of a few operators needs.

/// A dimension of an input: a number, or free.
pub(crate) const FREE: i64 = -1;

/// One float tensor of a graph that is an input or an output.
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<i64>,
    /// 1 = 32-bit float, 2 = unsigned byte.
    pub(crate) kind: u64,
}

impl Port {
    pub(crate) fn float(name: &'static str, shape: &[i64]) -> Port {
        Port { name, shape: shape.to_vec(), kind: 1 }
    }
}

/// An operator without attributes, or with one list of whole numbers.
pub(crate) struct Node {
    pub(crate) op: &'static str,
    pub(crate) inputs: &'static [&'static str],
    pub(crate) output: &'static str,
    pub(crate) ints: Option<(&'static str, Vec<u64>)>,
}

impl Node {
    pub(crate) fn new(op: &'static str, inputs: &'static [&'static str], output: &'static str) -> Node {
        Node { op, inputs, output, ints: None }
    }
}

/// A constant.
pub(crate) struct Weights {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<u64>,
    pub(crate) values: Vec<f32>,
}

/// A graph.
pub(crate) struct Tiny {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weights: Vec<Weights>,
}

impl Tiny {
    /// Sees how far each pixel is of the colour that `weights` (red, green, blue) point to:
    /// logits of `weights` · colour + `bias`. The input is 1 x 3 x height x width.
    pub(crate) fn colour(weights: [f32; 3], bias: f32, height: i64, width: i64) -> Tiny {
        Tiny {
            inputs: vec![Port::float("photo", &[1, 3, height, width])],
            outputs: vec![Port::float("logits", &[1, 1, height, width])],
            nodes: vec![Node {
                ints: Some(("kernel_shape", vec![1, 1])),
                ..Node::new("Conv", &["photo", "w", "b"], "logits")
            }],
            weights: vec![
                Weights { name: "w", shape: vec![1, 3, 1, 1], values: weights.to_vec() },
                Weights { name: "b", shape: vec![1], values: vec![bias] },
            ],
        }
    }

    /// The same with coverage instead of logits, and the logits as a second output.
    pub(crate) fn coverage(weights: [f32; 3], bias: f32, height: i64, width: i64) -> Tiny {
        let mut tiny = Tiny::colour(weights, bias, height, width);
        tiny.nodes.push(Node::new("Sigmoid", &["logits"], "coverage"));
        tiny.outputs.insert(0, Port::float("coverage", &[1, 1, height, width]));
        tiny
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut graph = Message::default();
        for node in &self.nodes {
            let mut message = Message::default();
            for input in node.inputs {
                message.text(1, input);
            }
            message.text(2, node.output).text(3, node.output).text(4, node.op);
            if let Some((name, ints)) = &node.ints {
                let mut attribute = Message::default();
                attribute.text(1, name);
                for &int in ints {
                    attribute.number(8, int);
                }
                attribute.number(20, 7);
                message.message(5, &attribute);
            }
            graph.message(1, &message);
        }
        graph.text(2, "tiny");
        for weights in &self.weights {
            let mut tensor = Message::default();
            for &side in &weights.shape {
                tensor.number(1, side);
            }
            let raw: Vec<u8> = weights.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensor.number(2, 1).text(8, weights.name).bytes(9, &raw);
            graph.message(5, &tensor);
        }
        for (field, ports) in [(11, &self.inputs), (12, &self.outputs)] {
            for port in ports {
                graph.message(field, &port_message(port));
            }
        }
        let mut opset = Message::default();
        opset.text(1, "").number(2, 17);
        let mut model = Message::default();
        model.number(1, 8).message(7, &graph).message(8, &opset);
        model.0
    }
}

fn port_message(port: &Port) -> Message {
    let mut shape = Message::default();
    for (at, &side) in port.shape.iter().enumerate() {
        let mut dimension = Message::default();
        match u64::try_from(side) {
            Ok(side) => dimension.number(1, side),
            Err(_) => dimension.text(2, &format!("free{at}")),
        };
        shape.message(1, &dimension);
    }
    let (mut tensor, mut kind, mut message) = (Message::default(), Message::default(), Message::default());
    tensor.number(1, port.kind).message(2, &shape);
    kind.message(1, &tensor);
    message.text(1, port.name).message(2, &kind);
    message
}

/// A protocol buffer on its way out.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 127 {
            self.0.push((value & 127) as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) -> &mut Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) -> &mut Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, field: u64, text: &str) -> &mut Message {
        self.bytes(field, text.as_bytes())
    }

    fn message(&mut self, field: u64, message: &Message) -> &mut Message {
        self.bytes(field, &message.0)
    }
}
