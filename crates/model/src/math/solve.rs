//! Small systems of equations.

/// The inverse of a square matrix, by elimination with the largest pivot first; `None` where there is none.
pub(crate) fn inverse(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let size = matrix.len();
    let mut inverse: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|col| f64::from(u8::from(row == col))).collect()).collect();
    for col in 0..size {
        let pivot = (col..size).max_by(|a, b| matrix[*a][col].abs().total_cmp(&matrix[*b][col].abs()))?;
        matrix.swap(col, pivot);
        inverse.swap(col, pivot);
        let scale = matrix[col][col];
        if scale == 0.0 || !scale.is_finite() {
            return None;
        }
        matrix[col].iter_mut().chain(inverse[col].iter_mut()).for_each(|value| *value /= scale);
        let (own, own_inverse) = (matrix[col].clone(), inverse[col].clone());
        for row in (0..size).filter(|row| *row != col) {
            let factor = matrix[row][col];
            matrix[row].iter_mut().zip(&own).for_each(|(value, own)| *value -= factor * own);
            inverse[row].iter_mut().zip(&own_inverse).for_each(|(value, own)| *value -= factor * own);
        }
    }
    Some(inverse)
}

/// `x` of `lower · x = b`, by rows of a triangle with nothing above its diagonal.
pub(crate) fn forward(lower: &[f64], mut b: Vec<f64>) -> Vec<f64> {
    let size = b.len();
    for row in 0..size {
        let weights = &lower[row * size..row * size + row];
        let sum: f64 = weights.iter().zip(&b).map(|(weight, x)| weight * x).sum();
        b[row] = (b[row] - sum) / lower[row * size + row];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let found = inverse(vec![vec![0.0, 2.0], vec![4.0, 1.0]]).unwrap();
        assert_eq!(found, [[-0.125, 0.25], [0.5, 0.0]]);
        assert!(inverse(vec![vec![1.0, 2.0], vec![2.0, 4.0]]).is_none());
        assert_eq!(forward(&[2.0, 0.0, 1.0, 4.0], vec![2.0, 9.0]), [1.0, 2.0]);
    }
}
